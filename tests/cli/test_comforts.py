"""What makes the command line easy: short help, completion, both spellings, and what is said before a training."""

import re
import shlex
import shutil
import subprocess

import pytest

from tellapart import InputError, systems
from tellapart.cli import main
from tellapart.runs import Run
from tellapart.systems import NAMES
from tests.command_line import fails, say
from tests.tiny.pictures import COLOURS, arguments, draw, write_pairs


def test_options_are_taken_with_either_stroke(capsys, tmp_path):
    words = [word.replace("_", "-") for word in arguments(epochs=1, **{"trainer.checkpoint_every": 7})]
    data = write_pairs(tmp_path / "my_pic-tures")
    code, _, err = say(capsys, "train", "clip", "--run", tmp_path / "a-b", "--data", data, *words)
    assert code == 0, err
    assert Run(tmp_path / "a-b").options()["trainer"]["checkpoint_every"] == 7
    assert "`batch_sise`" not in fails(capsys, "train", "clip", "--run", tmp_path / "x", "--batch-sise=8")


@pytest.mark.parametrize("name", NAMES)
def test_short_help_shows_ten_options_at_most_and_names_the_whole(capsys, name):
    code, out, _ = say(capsys, "train", name, "-h")
    assert code == 0
    shown = re.findall(r"^  (?:-h, )?--([\w.]+)", out, re.MULTILINE)
    assert {"data", "run", "epochs", "batch_size"} <= set(shown)
    assert len(shown) <= 10
    assert out.splitlines()[-1] == f"All options: tellapart train {name} --help"
    with pytest.raises(SystemExit):
        main(["train", name, "--help"])
    assert len(re.findall(r"^  (?:-h, )?--([\w.]+)", capsys.readouterr().out, re.MULTILINE)) > 15


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(capsys, shell):
    pytest.importorskip("shtab")
    code, out, err = say(capsys, "completion", shell)
    assert code == 0, err
    for word in ("search", "simclr", "batch_size"):
        assert word in out
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=out, text=True, capture_output=True, check=False).returncode == 0
    assert say(capsys, "systems")[0] == 0  # the script leaves the parser as it was


def test_without_shtab_completion_names_the_extra(capsys, monkeypatch):
    monkeypatch.setattr("tellapart.cli.parser.find_spec", lambda _: None)
    assert "pip install 'tellapart[completion]'" in fails(capsys, "completion", "bash")


def test_a_training_without_data_says_first_whose_data_it_takes(capsys, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(systems, "load", lambda name, real=systems.load: _watched(real(name), seen))
    _, out, _ = say(capsys, "train", "clip", "--run", tmp_path / "a")
    assert out.startswith("No data are named (--data), so clip trains on its example data, openmoji.")
    assert len(seen) == 1
    _, out, _ = say(capsys, "train", "clip", "--run", tmp_path / "b", "--data", tmp_path)
    assert "example data" not in out


def _watched(system, seen):
    """The system without its training."""
    import dataclasses

    def train(*given):
        seen.append(given)
        raise InputError("not trained")

    return dataclasses.replace(system, train=train)


def test_a_folder_of_pictures_of_any_sizes_trains_at_once_and_what_was_chosen_is_said(capsys, tmp_path):
    for i, colour in enumerate(COLOURS * 2):
        (tmp_path / "data").mkdir(exist_ok=True)
        draw(colour, "circle" if i < 6 else "bar").resize((40 + i, 30)).save(tmp_path / "data" / f"{i}.png")
    small = {"width": 8, "hidden": 16, "dim": 8, "epochs": 1}
    words = [f"--{name}={value}" for name, value in small.items()]
    code, out, err = say(capsys, "train", "simclr", "--data", tmp_path / "data", "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert "Pictures of 40×30 and 41×30 pixels are brought to 32×32; --picture_size gives another size." in out
    assert re.search(r"^A batch has all (9|10) rows to train on: --batch_size asks for more\.$", out, re.MULTILINE)


def test_a_picture_file_that_is_searched_for_is_looked_at_and_not_read_as_words(capsys, trained, tmp_path):
    draw("red", "circle").save(tmp_path / "x.png")
    found = [say(capsys, "search", trained, query)[1].splitlines()[2:] for query in (tmp_path / "x.png", "x png")]
    assert found[0] != found[1]
    assert found[0][0].startswith("red-circle.png")
    assert "there is no such file" in fails(capsys, "search", trained, tmp_path / "y.png")


def suggested(message):
    """The command that a message ends with."""
    return shlex.split(re.search(r": tellapart (.*)", message)[1])


@pytest.mark.parametrize("name", ["gallery.parquet", "results.json"])
def test_the_command_that_makes_a_damaged_file_anew_can_be_typed_from_any_folder(
    name, capsys, trained, tmp_path, monkeypatch
):
    run = tmp_path / "my run"
    shutil.copytree(trained, run)
    (run / name).write_bytes(b"{")
    (run / "report.html").unlink()
    message = fails(capsys, *(["search", run, "red"] if name[0] == "g" else ["report", run]))
    assert f"{name}: missing or damaged" in message
    monkeypatch.chdir("/")
    assert main(suggested(message)) == 0
    assert say(capsys, "report", run)[0] == 0


def test_a_run_without_its_run_json_can_be_trained_again_by_the_suggested_command(
    capsys, trained, tmp_path, monkeypatch
):
    run = tmp_path / "my run"
    shutil.copytree(trained, run)
    (run / "run.json").write_bytes(b"{")
    message = fails(capsys, "search", run, "red")
    monkeypatch.chdir("/")
    assert main(suggested(message)) == 0
    assert say(capsys, "search", tmp_path / "my run-again", "red")[0] == 0


def test_embed_and_evaluate_stop_at_broken_items_if_they_are_asked_to(capsys, trained, tmp_path):
    data = write_pairs(tmp_path / "pictures")
    (data / "red-dot.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    for words in (["embed", trained, data, "-o", tmp_path / "v.npz"], ["evaluate", trained, "--data", data]):
        code, out, err = say(capsys, *words)
        assert code == 0, err
        assert "Left out 1: broken picture" in out
        assert "red-dot.png: not a picture that can be read" in fails(capsys, *words, "--broken", "stop")
