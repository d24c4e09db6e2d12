"""`tellapart attention`: what it writes and says, and one line for every mistake."""

import shutil

from tests.command_line import fails, say
from tests.heads.conftest import TEXT, write_model


def test_it_writes_attention_html_and_says_so(llama, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, _ = say(capsys, "attention", llama, TEXT)
    assert (code, out.splitlines()[-1]) == (0, "attention.html")
    html = (tmp_path / "attention.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert html.count("http") == html.count("http-equiv")
    assert "<script>alert" not in html


def test_it_warns_of_a_uniform_head_and_of_tokens_left_out(gpt2, tmp_path, capsys):
    code, out, _ = say(capsys, "attention", gpt2, TEXT, "--tokens", 9, "--output", tmp_path / "x.html")
    assert code == 0
    assert "Read the first 9 of " in out
    assert "1 of 8 heads uniform" in out
    assert "h.1.attn head 0." in out


def test_mistakes_end_with_one_line(llama, tmp_path, capsys):
    page = ("--output", tmp_path / "x.html")
    assert "no folder of a model, it has no config.json" in fails(capsys, "attention", tmp_path, TEXT, *page)
    assert "TEXT must have at least 2 tokens. Got 0" in fails(capsys, "attention", llama, "", *page)
    assert "`tokens` must be at least 2" in fails(capsys, "attention", llama, TEXT, "--tokens", 1, *page)
    shutil.copytree(llama, tmp_path / "torn")
    (tmp_path / "torn" / "model.safetensors").write_bytes(b"torn")
    assert "torn: no model with scaled_dot" in fails(capsys, "attention", tmp_path / "torn", TEXT, *page)
    t5 = write_model(tmp_path / "t5", "t5")
    said = fails(capsys, "attention", t5, TEXT, *page)
    assert "encoder with a decoder" in said or "no model with scaled_dot" in said
    assert not (tmp_path / "x.html").exists()
