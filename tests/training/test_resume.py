"""An interrupted run, continued, ends in the same weights bit for bit as one never interrupted."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from tellapart import InputError
from tellapart.files import atomic_write
from tellapart.runs import Run
from tests.command_line import fails
from tests.forked import ALONE, Forked, on_devices
from tests.killed import finish, train_here, wait_for_step
from tests.tiny.pictures import arguments, write_pairs

# Long enough to be hit in the middle, with checkpoints between which a kill loses steps.
OPTIONS = {"epochs": 40, "trainer.checkpoint_every": 7}
N_STEPS = 40 * 3


def words(data, *more):
    return [*arguments(data=data, **OPTIONS), *more]


def command(data, run, *more):
    return ["train", "clip", "--run", str(run), *words(data, *more)]


def start(data, run, *more, **kwargs):
    return Forked("tellapart", command(data, run, *more), **kwargs)


def start_as_a_shell_does(data, run, *more, **kwargs):
    """With nothing imported yet, which takes seconds: once a signal."""
    program, pipes = [sys.executable, "-m", "tellapart"], {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [*program, *command(data, run, *more)], text=True, env=os.environ | ALONE, **pipes, **kwargs
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def killed_once(data, tmp_path_factory):
    """A run that was killed after its first checkpoint."""
    run = tmp_path_factory.mktemp("killed") / "run"
    process = start(data, run)
    wait_for_step(run, 20, process)
    process.kill()
    process.communicate()
    return run


@pytest.fixture
def killed(killed_once, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(killed_once, tmp_path / "run"))


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    """Weights, results and log of a run that nobody interrupted."""
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    train_here(run, "clip", words(data))
    return run


def without_times(run):
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in entry.items() if "second" not in name} for entry in entries]


def assert_same_end(run, uninterrupted):
    assert (run / "weights.safetensors").read_bytes() == (uninterrupted / "weights.safetensors").read_bytes()
    assert (run / "results.json").read_bytes() == (uninterrupted / "results.json").read_bytes()
    assert without_times(run) == without_times(uninterrupted)


@pytest.mark.parametrize(
    ("number", "steps", "start"),
    [
        (signal.SIGKILL, (23, 65), start),
        (signal.SIGTERM, (50,), start),
        (signal.SIGINT, (37,), start_as_a_shell_does),
    ],
)
def test_an_interrupted_run_that_is_resumed_ends_in_the_same_weights(
    data, uninterrupted, tmp_path, number, steps, start
):
    run = tmp_path / "run"
    for step in steps:
        process = start(data, run, "--resume")
        wait_for_step(run, step, process)
        process.send_signal(number)
        code, _, err = finish(process)
        assert not (run / "weights.safetensors").exists()
        if number == signal.SIGKILL:
            assert code == -signal.SIGKILL
        else:
            assert code == 128 + number
            assert "all of it saved. Continue with: tellapart train clip" in err
            assert "Traceback" not in err
    train_here(run, "clip", words(data))
    assert len(without_times(run)) == N_STEPS
    assert_same_end(run, uninterrupted)


def test_a_run_killed_before_its_first_checkpoint_starts_over(data, uninterrupted, tmp_path):
    run, late = tmp_path / "run", "--trainer.checkpoint_every=1000"
    process = start(data, run, late)
    wait_for_step(run, 30, process)
    process.kill()
    process.communicate()
    assert not (run / "checkpoint.ckpt").exists()
    train_here(run, "clip", words(data, late))
    assert_same_end(run, uninterrupted)


def test_a_run_killed_between_its_last_step_and_its_end_is_finished(uninterrupted, tmp_path, data):
    """All steps are done and saved, and nothing that comes after them."""
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    for name in ("weights.safetensors", "results.json", "gallery.parquet", "report.html"):
        (run / name).unlink()
    train_here(run, "clip", words(data))
    assert_same_end(run, uninterrupted)


def test_a_second_ctrl_c_does_not_wait_and_loses_only_what_no_checkpoint_holds(data, uninterrupted, tmp_path):
    run = tmp_path / "run"
    process = start(data, run)
    wait_for_step(run, 40, process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert code in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert "Continue with: tellapart train clip" in err.splitlines()[-1]
    train_here(run, "clip", words(data))
    assert_same_end(run, uninterrupted)


def limit_file_sizes(n_bytes):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def test_a_disk_that_fills_during_a_checkpoint_loses_nothing(data, uninterrupted, killed):
    """The limit on file sizes lets the log grow but no checkpoint be written, as a full disk would."""
    run = killed
    before = (run / "checkpoint.ckpt").read_bytes()

    process = start(data, run, "--resume", before=partial(limit_file_sizes, len(before) // 2))
    code, _, err = finish(process)
    assert code == 2, err
    assert "checkpoint.ckpt: cannot write, the file would exceed the size limit. Make room" in err.splitlines()[-1]
    assert (run / "checkpoint.ckpt").read_bytes() == before
    assert not list(run.glob(".*.tmp"))
    train_here(run, "clip", words(data))
    assert_same_end(run, uninterrupted)


def test_a_second_process_is_kept_out_of_a_run(capsys, data, tmp_path):
    run = tmp_path / "run"
    first = start(data, run)
    wait_for_step(run, 5, first)
    err = fails(capsys, "train", "clip", "--run", run, *words(data, "--resume"))
    first.kill()
    first.communicate()
    assert "another process is training here" in err


def test_two_devices_train_together_and_resume(data, tmp_path):
    """Two processes on the CPU, killed and resumed, end as two that were not."""
    ends, options = [], ("--trainer.devices=2", "--epochs=12")
    for name in ("whole", "killed"):
        run = tmp_path / name
        if name == "killed":
            process = start_as_a_shell_does(data, run, *options, start_new_session=True)
            wait_for_step(run, 10, process)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        code, out, err = finish(start(data, run, *options, "--resume", before=on_devices(run, 2)))
        assert code == 0, err
        assert out.count("Retrieval among") == 1
        # The line-up spans both devices, and so does what the log says.
        assert {entry["n_candidates"] for entry in without_times(run)} == {8, 10}
        ends.append((run / "weights.safetensors").read_bytes())
    assert ends[0] == ends[1]


def test_a_damaged_checkpoint_is_named(capsys, data, killed):
    (killed / "checkpoint.ckpt").write_bytes(b"nonsense")
    err = fails(capsys, "train", "clip", "--run", killed, *words(data, "--resume"))
    assert "checkpoint.ckpt: damaged checkpoint" in err.splitlines()[-1]


def test_a_checkpoint_of_another_model_is_named(capsys, data, killed):
    checkpoint = torch.load(killed / "checkpoint.ckpt", weights_only=True)
    checkpoint["state_dict"].popitem()
    torch.save(checkpoint, killed / "checkpoint.ckpt")
    err = fails(capsys, "train", "clip", "--run", killed, *words(data, "--resume"))
    assert "checkpoint.ckpt: of another model. Delete it" in err.splitlines()[-1]


def test_a_log_line_torn_by_a_kill_is_left_out(tmp_path):
    run = Run(tmp_path / "run")
    run.begin("clip", {})
    run.log_file.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n{"step": 3, "lo')
    assert [entry["step"] for entry in run.log()] == [1, 2]
    run.rewind_log(1)
    assert run.log_file.read_text() == '{"step": 1, "loss": 2.0}\n'


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path):
    """A pickle that would write a file on loading is refused, not executed."""
    from tellapart.training.checkpoints import AtomicCheckpoints

    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    with atomic_write(tmp_path / "bad.ckpt") as file:
        torch.save({"state": Harmful()}, file)
    with pytest.raises(InputError, match="damaged checkpoint"):
        AtomicCheckpoints().load_checkpoint(tmp_path / "bad.ckpt")
    assert not (tmp_path / "owned").exists()
