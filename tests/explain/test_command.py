"""`tellapart explain`: where the page goes, and one line for every mistake."""

import pytest

from tellapart.cli import main
from tellapart.theory import curves
from tests.command_line import fails


@pytest.fixture(autouse=True)
def _nothing_to_measure(monkeypatch):
    monkeypatch.setattr(curves, "quick", list)


def test_it_writes_explain_html_into_the_working_folder_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["explain"]) == 0
    assert capsys.readouterr().out.strip() == "explain.html"
    assert [path.name for path in tmp_path.iterdir()] == ["explain.html"]


def test_it_writes_where_it_is_told_to_and_replaces_what_was_there(tmp_path, capsys):
    target = tmp_path / "new" / "page.html"
    for _ in range(2):
        assert main(["explain", "--output", str(target)]) == 0
        assert capsys.readouterr().out.strip() == str(target)
    assert target.read_text(encoding="utf-8").endswith("</html>")


def test_mistakes_end_with_one_line_and_leave_all_as_it_was(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for output, why in (
        (tmp_path, "it is a folder"),
        (tmp_path / "file" / "page.html", "a part of its path is a file"),
        ("/proc/page.html", "cannot write"),
        ("", "it is a folder"),
    ):
        assert why in fails(capsys, "explain", "--output", output)
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_page_is_one_small_file_that_may_load_nothing(explained):
    html = explained.read_text(encoding="utf-8")
    assert len(html.encode()) < 300_000
    assert "default-src 'none'" in html
    assert "http://www.w3.org/2000/svg" in html  # the name of SVG, which is not fetched
    assert html.count("http") == html.count("http-equiv") + html.count("http://www.w3.org/2000/svg")
