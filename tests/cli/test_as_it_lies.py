"""The command line where things are not as they should be: odd names, full disks, other shells, moved data."""

import builtins
import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import torch

from tellapart.cli import main
from tellapart.report import write_report
from tellapart.runs import Embeddings, Run, forget_stray_rank
from tests.command_line import fails, say
from tests.forked import Forked
from tests.tiny.pictures import arguments, draw, picture_arguments, write_pairs


def python(*words, **environment):
    """A Python process of its own."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_what_was_read_and_left_out_is_told_kept_and_shown(capsys, tmp_path):
    data = write_pairs(tmp_path / "pictures")
    (data / "red-dot.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with (data / "pairs.csv").open("a") as file:
        file.write("red-bar.png,\n")
    folder = tmp_path / "run"
    code, out, err = say(capsys, "train", "clip", "--run", folder, *arguments(data=data, epochs=1))
    assert code == 0, err
    line = out.splitlines()[0]
    assert line.startswith("Read 23 pairs. Left out 2: row with an empty text, ")
    assert "; broken picture, " in line
    kept = json.loads((folder / "run.json").read_text())["reading"]
    assert kept["told"] == line
    assert kept["read"] == {"pair": 23}
    assert [row.split("\t")[0] for row in (folder / "left_out.tsv").read_text().splitlines()] == list(kept["left_out"])
    assert "Data: Read 23 pairs. Left out 2" in (folder / "report.html").read_text()
    code, out, _ = say(capsys, "evaluate", folder)
    assert out.splitlines()[0] == line
    message = fails(capsys, "train", "clip", "--run", tmp_path / "b", *arguments(data=data, epochs=1, broken="stop"))
    assert "pairs.csv line 26: the column text is empty" in message


def test_a_picture_with_a_name_that_is_no_utf8_goes_all_the_way(capsys, tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i, colour in enumerate(("red", "green", "blue", "black", "orange", "purple")):
            draw(colour, "bar" if label == "cat" else "dot").save(tmp_path / "data" / label / f"{i}.png")
    odd = tmp_path / "data" / "cat" / b"caf\xe9.png".decode("utf-8", "surrogateescape")
    draw("gray", "circle").save(odd)
    words = picture_arguments("simclr", data=tmp_path / "data", batch_size=4, epochs=1)
    code, out, err = say(capsys, "train", "simclr", "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert "Labels are the folders: cat, dog." in out
    for suffix in ("parquet", "npz"):
        assert say(capsys, "embed", tmp_path / "run", tmp_path / "data", "-o", tmp_path / f"v.{suffix}")[0] == 0
    with np.load(tmp_path / "v.npz") as file:
        assert "cat/caf?.png" in file["name"]
    code, out, err = say(capsys, "search", tmp_path / "run", odd)
    assert code == 0, err


def test_an_npz_of_one_long_text_among_many_is_small_and_holds_all_of_it(tmp_path):
    names = ["word " * 40_000, *(f"text {i}" for i in range(2000))]
    Embeddings(names, ["sentence"] * len(names), torch.ones(len(names), 2)).save(tmp_path / "v.npz")
    assert (tmp_path / "v.npz").stat().st_size < 2**20
    with np.load(tmp_path / "v.npz") as file:
        assert file["name"][5] == "text 4"
        assert file["name_text"].tobytes().decode().split("\0") == names


@pytest.fixture
def read_only(monkeypatch):
    """No file can be written."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)


@pytest.mark.usefixtures("read_only")
def test_a_run_on_a_disk_that_is_read_only_is_measured_searched_and_told(capsys, trained):
    before = (trained / "results.json").read_bytes()
    code, out, err = say(capsys, "evaluate", trained)
    assert code == 0, err
    assert "results.json: cannot write, the disk is read-only. What was measured is not saved." in out
    assert "Retrieval among" in out
    assert say(capsys, "search", trained, "red")[0] == 0
    assert (trained / "results.json").read_bytes() == before


def test_data_that_moved_are_measured_on_what_was_held_out(capsys, tmp_path):
    data, folder = write_pairs(tmp_path / "pictures"), tmp_path / "run"
    assert say(capsys, "train", "clip", "--run", folder, *arguments(data=data, epochs=1))[0] == 0
    _, own, _ = say(capsys, "evaluate", folder)
    data.rename(tmp_path / "moved")
    assert "there is no such file or folder" in fails(capsys, "evaluate", folder)
    code, out, _ = say(capsys, "evaluate", folder, "--data", tmp_path / "moved")
    assert code == 0
    assert "holds the run's own data." in out
    assert out.splitlines()[1:] == own.splitlines()[1:]
    draw("red", "dot").save(tmp_path / "moved" / "blue-dot.png")
    code, out, _ = say(capsys, "evaluate", folder, "--data", tmp_path / "moved")
    assert "among 24 pairs of" in out


def test_a_rank_that_no_launcher_set_is_dropped_and_said(capsys, tmp_path, monkeypatch):
    for name in ("WORLD_SIZE", "MASTER_ADDR", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    words = arguments(data=write_pairs(tmp_path / "pictures"), epochs=1)
    code, out, err = say(capsys, "train", "clip", "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert "LOCAL_RANK=1 is left over in the environment, and ignored." in out
    assert Run(tmp_path / "run").is_trained()
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert forget_stray_rank() is None
    assert os.environ["LOCAL_RANK"] == "1"


def test_without_docstrings_the_command_line_works():
    """Both commands in one process, which compiles anew all that it imports."""
    code = "import sys; from tellapart.cli import main\n"
    code += "sys.exit(main(['systems']) or main(['train', 'clip', '--help']))"
    found = python("-c", code, PYTHONOPTIMIZE="2")
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("CLIP: pictures and texts in one space") == 2


@pytest.mark.parametrize("closed", [["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_with_closed_output_a_command_ends_as_usual(closed, monkeypatch):
    """Without a stream, as Python begins where a shell closed it."""
    for name in closed:
        monkeypatch.setattr(sys, name, None)
    assert main(["systems"]) == 0
    for name in closed:
        getattr(sys, name).close()  # what was opened in its place


def test_with_both_outputs_closed_by_a_shell_a_command_ends_as_usual():
    command = f"{shlex.quote(sys.executable)} -m tellapart systems >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], capture_output=True, check=False).returncode == 0


def test_the_version_needs_no_extra():
    extras = ["rich", "jsonargparse", "lightning", "yaml", "PIL", "scipy"]
    code = f"import sys; sys.modules.update(dict.fromkeys({extras}));"
    code += "from tellapart.cli import main; sys.exit(main(['--version']))"
    found = python("-c", code)
    assert (found.returncode, found.stderr) == (0, "")
    assert re.fullmatch(r"\d+\.\d+.*\n", found.stdout)


def test_a_system_without_file_locks_is_named(capsys, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "fcntl":
            raise ModuleNotFoundError("No module named 'fcntl'", name="fcntl")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    words = arguments(data=write_pairs(tmp_path / "pictures"))
    assert "no file locks of POSIX (fcntl). Use Linux or macOS" in fails(
        capsys, "train", "clip", "--run", tmp_path / "run", *words
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("batchsize: 8\n", r"o.yaml: `batchsize` is no option of clip. Did you mean `batch_size`?"),
        ("trainer:\n  device: 2\n", r"o.yaml: `trainer.device` is no option of clip. Did you mean `trainer.devices`?"),
        ("epochs: [1\n", r"o.yaml line 2: no YAML that can be read"),
        ("- 1\n", r"o.yaml: holds no options"),
    ],
)
def test_a_mistake_in_a_config_file_is_named(capsys, tmp_path, content, message):
    (tmp_path / "o.yaml").write_text(content)
    for words in (["--config", tmp_path / "o.yaml"], [f"--config={tmp_path / 'o.yaml'}"]):
        assert message in fails(capsys, "train", "clip", "--run", tmp_path / "run", *words)


def test_commands_that_are_suggested_after_training_can_be_typed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = arguments(data=write_pairs(tmp_path / "pictures"), epochs=1)
    code, out, err = say(capsys, "train", "clip", "--run", "my run", *words)
    assert code == 0, err
    found = re.search(r"or search: tellapart (.*)", out)
    assert main(shlex.split(found[1])) == 0


def test_the_command_that_is_suggested_after_ctrl_c_continues_from_any_folder(tmp_path, capsys, monkeypatch):
    write_pairs(tmp_path / "pictures")
    words = arguments(data="pictures", epochs=4000)
    monkeypatch.chdir(tmp_path)
    run = Forked("tellapart", ["train", "clip", "--run", "my run", *words])
    log = tmp_path / "my run" / "log.jsonl"
    while not log.is_file() or not log.stat().st_size:
        time.sleep(0.05)
        assert run.poll() is None
    run.send_signal(signal.SIGINT)
    said = run.communicate()[1].splitlines()[-1]
    assert run.returncode == 128 + signal.SIGINT
    suggested = said.partition("Continue with: tellapart ")[2]
    assert suggested
    monkeypatch.chdir("/")
    assert suggested in fails(capsys, "evaluate", tmp_path / "my run")
    from tellapart.cli import parser

    given = parser.build().parse_args(shlex.split(suggested)).train.clip
    assert given.resume
    assert given.data == str(tmp_path / "pictures")


def test_the_report_says_what_was_read(trained, tmp_path):
    target = write_report(Run(trained), tmp_path / "r.html")
    assert "Data: Read 24 pairs." in target.read_text()
