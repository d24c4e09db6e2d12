"""More epochs for a run that has begun: by which schedule, and that an interruption changes nothing."""

import json
import math
import os
import shlex
import shutil
import signal

import pytest
import torch

import tellapart
from tellapart import InputError
from tellapart.cli import main
from tellapart.runs import Run
from tellapart.systems import moco
from tellapart.training import Batches
from tellapart.training.keeper import Keeper
from tests.command_line import fails, read_log, say
from tests.killed import Killed, finish, interrupted_before, killed_before, start, train_here, wait_for_step
from tests.tiny.genomes import few_reads
from tests.tiny.pictures import OPTIONS as TINY
from tests.tiny.pictures import arguments, draw, write_pairs
from tests.training.test_resume import assert_same_end, without_times

EPOCHS, MORE, EVERY = 4, 7, 4
OPTIONS = {"epochs": EPOCHS, "trainer.checkpoint_every": EVERY}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished_once(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    train_here(folder, "clip", arguments(data=data, **OPTIONS))
    return folder


@pytest.fixture(scope="module")
def steps(finished_once):
    """Of an epoch."""
    return len(read_log(finished_once)) // EPOCHS


@pytest.fixture
def finished(finished_once, tmp_path):
    return shutil.copytree(finished_once, tmp_path / "run")


@pytest.fixture(scope="module")
def trained_on(finished_once, tmp_path_factory):
    """The run, trained on without an interruption."""
    folder = shutil.copytree(finished_once, tmp_path_factory.mktemp("on") / "run")
    train_here(folder, "clip", ["--epochs", str(MORE)])
    return folder


@pytest.fixture(scope="module")
def unfinished_once(data, steps, tmp_path_factory):
    """Killed in its second epoch, and the steps that its checkpoint holds."""
    folder = tmp_path_factory.mktemp("unfinished") / "run"
    with killed_before(2 * steps), pytest.raises(Killed):
        tellapart.train("clip", run=folder, data=data, trainer={"checkpoint_every": EVERY}, **TINY | {"epochs": EPOCHS})
    return folder


@pytest.fixture
def unfinished(unfinished_once, tmp_path):
    return shutil.copytree(unfinished_once, tmp_path / "run")


def step_size(k, n, peak=0.01):
    """Of the k-th of n steps, from 0: a linear warm-up over 5 %, and half a cosine."""
    return peak * min(1, (k + 1) / max(1, 0.05 * n)) * (1 + math.cos(math.pi * k / n)) / 2


def step_sizes(folder):
    return [entry["learning_rate"] for entry in read_log(folder)]


def logged_step_sizes(begin, n):
    """What the log says after each step of a schedule: the step size of the next."""
    return [step_size(k, n) for k in range(begin + 1, n + 1)]


def test_a_finished_run_goes_on_from_its_weights_by_a_schedule_of_its_own(capsys, finished, finished_once, steps):
    code, out, err = say(capsys, "train", "clip", "--run", finished, "--resume", "--epochs", MORE)
    assert code == 0, err
    assert (
        f"{finished}: trained for 4 epochs, and trained on from its weights to 7, with a new optimizer; the step size "
        "rises and falls again over the 3 added epochs.\n"
    ) in out
    n, added = EPOCHS * steps, (MORE - EPOCHS) * steps
    assert without_times(finished)[:n] == without_times(finished_once)
    assert [entry["step"] for entry in read_log(finished)] == list(range(1, n + added + 1))
    assert step_sizes(finished)[n:] == pytest.approx(logged_step_sizes(0, added))
    assert (finished / "start.safetensors").read_bytes() == (finished_once / "weights.safetensors").read_bytes()
    assert (finished / "weights.safetensors").read_bytes() != (finished_once / "weights.safetensors").read_bytes()
    assert f"The last of {n + added} steps" in (finished / "report.html").read_text()
    for name in ("results.json", "gallery.parquet", "report.html"):
        assert (finished / name).read_bytes() != (finished_once / name).read_bytes(), name
    assert Run(finished).options()["epochs"] == MORE
    assert json.loads((finished / "run.json").read_text())["schedules"] == [
        {"epochs": EPOCHS, "since": 0, "begin": 0},
        {"epochs": MORE, "since": n, "begin": n},
    ]


def test_the_added_steps_see_the_rows_of_the_steps_that_a_longer_run_would_have(finished, steps, monkeypatch):
    seen, rows = [], Batches.rows
    monkeypatch.setattr(Batches, "rows", lambda self, step, *rest: seen.append(step) or rows(self, step, *rest))
    tellapart.train("clip", run=finished, resume=True, epochs=MORE)
    of_steps = [step for step in seen if step]  # the measure on held-out rows asks how many rows the first has
    assert of_steps == list(range(EPOCHS * steps, MORE * steps))


@pytest.mark.parametrize("after", [2, EVERY + 2])
def test_a_run_that_is_trained_on_killed_and_resumed_ends_in_the_same_weights(finished, trained_on, steps, after):
    """Before the first checkpoint of the added epochs, and after it."""
    with killed_before(EPOCHS * steps + after), pytest.raises(Killed):
        tellapart.train("clip", run=finished, resume=True, epochs=MORE)
    assert (finished / "checkpoint.ckpt").exists() == (after > EVERY)
    assert not (finished / "weights.safetensors").exists()
    assert not (finished / "results.json").exists()
    tellapart.train("clip", run=finished, resume=True)
    assert_same_end(finished, trained_on)
    assert Run(finished).facts() == Run(trained_on).facts()


def test_a_run_that_is_trained_on_can_be_planned_anew_before_its_first_checkpoint(
    finished, finished_once, tmp_path, steps
):
    whole = shutil.copytree(finished_once, tmp_path / "whole")
    train_here(whole, "clip", ["--epochs", str(MORE + 1)])
    with killed_before(EPOCHS * steps + 2), pytest.raises(Killed):
        tellapart.train("clip", run=finished, resume=True, epochs=MORE)
    train_here(finished, "clip", ["--epochs", str(MORE + 1)])
    assert_same_end(finished, whole)


@pytest.mark.parametrize("when", ["open_again", "write_options"])
@pytest.mark.parametrize("more", [MORE, None])
def test_a_kill_while_the_change_is_written_leaves_the_run_as_it_was(
    finished, finished_once, trained_on, monkeypatch, when, more
):
    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Run, when, killed)
        with pytest.raises(Killed):
            tellapart.train("clip", run=finished, resume=True, epochs=MORE)
    tellapart.train("clip", run=finished, resume=True, **({} if more is None else {"epochs": more}))
    assert_same_end(finished, finished_once if more is None else trained_on)


def test_a_run_can_be_trained_on_twice(finished, trained_on, steps):
    for epochs in (MORE, MORE + 2):
        train_here(finished, "clip", ["--epochs", str(epochs)])
    assert (finished / "start.safetensors").read_bytes() == (trained_on / "weights.safetensors").read_bytes()
    n = MORE * steps
    assert step_sizes(finished)[n:] == pytest.approx(logged_step_sizes(0, 2 * steps))
    assert [kept["begin"] for kept in Run(finished).facts()["schedules"]] == [0, EPOCHS * steps, n]


def test_an_unfinished_run_is_planned_anew_over_all_epochs(capsys, unfinished, steps):
    done = (2 * steps - 1) // EVERY * EVERY
    code, out, err = say(capsys, "train", "clip", "--run", unfinished, "--resume", "--epochs", MORE)
    assert code == 0, err
    assert f"{unfinished}: {done / steps:.4g} of 4 epochs are done, and 7 are planned now; the step size goes on" in out
    sizes = step_sizes(unfinished)
    assert sizes[:done] == pytest.approx(logged_step_sizes(0, EPOCHS * steps)[:done])
    assert sizes[done:] == pytest.approx(logged_step_sizes(done, MORE * steps))
    assert Run(unfinished).facts()["schedules"][-1] == {"epochs": MORE, "since": done, "begin": 0}


@pytest.mark.parametrize("after", [1, EVERY + 2])
def test_an_unfinished_run_that_is_planned_anew_killed_and_resumed_ends_in_the_same_weights(
    unfinished, unfinished_once, steps, after, tmp_path
):
    whole = shutil.copytree(unfinished_once, tmp_path / "whole")
    train_here(whole, "clip", ["--epochs", str(MORE)])
    with killed_before(2 * steps + after), pytest.raises(Killed):
        tellapart.train("clip", run=unfinished, resume=True, epochs=MORE)
    train_here(unfinished, "clip", [])
    assert_same_end(unfinished, whole)


def test_a_run_killed_between_its_last_step_and_its_end_is_trained_on_as_a_finished_one(data, trained_on, tmp_path):
    def kill(*_):
        raise Killed

    given = TINY | {"epochs": EPOCHS, "trainer": {"checkpoint_every": EVERY}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save_weights", kill)
        with pytest.raises(Killed):
            tellapart.train("clip", run=tmp_path, data=data, **given)
    train_here(tmp_path, "clip", ["--epochs", str(MORE)])
    assert_same_end(tmp_path, trained_on)


def test_two_devices_train_on_together(data, tmp_path):
    ends = []
    for name in ("whole", "killed"):
        run = tmp_path / name
        words = arguments(data=data, **OPTIONS | {"epochs": 2, "trainer.devices": 2})
        code, _, err = finish(start(run, "clip", words, devices=2))
        assert code == 0, err
        n = len(read_log(run))
        if name == "killed":
            process = start(run, "clip", ["--epochs=6"], devices=2, last=n + EVERY + 1)
            wait_for_step(run, n + EVERY + 1, process)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        code, _, err = finish(start(run, "clip", ["--epochs=6"], devices=2))
        assert code == 0, err
        assert len(read_log(run)) == 3 * n
        ends.append((run / "weights.safetensors").read_bytes())
    assert ends[0] == ends[1]


def test_fewer_epochs_than_are_done_and_other_options_are_refused(capsys, finished, unfinished_once, steps, tmp_path):
    unfinished = shutil.copytree(unfinished_once, tmp_path / "unfinished")
    done = (2 * steps - 1) // EVERY * EVERY / steps
    for folder, words, message in (
        (
            finished,
            ["--epochs=3"],
            f"`epochs` must be more than 4, the epochs that {finished} is trained for already. Got 3.",
        ),
        (unfinished, ["--epochs=1"], f"`epochs` must be more than {done:.4g}, the epochs that"),
        (finished, ["--epochs=9", "--seed=1"], "cannot resume with other options (seed was 0, now 1)"),
    ):
        assert message in fails(capsys, "train", "clip", "--run", folder, "--resume", *words)
    assert Run(finished).is_trained()
    assert Run(finished).options()["epochs"] == EPOCHS
    code, out, _ = say(capsys, "train", "clip", "--run", finished, "--resume")
    assert code == 0
    assert f"{finished} is trained already, for 4 epochs; delete it to train anew, or give more --epochs." in out


def test_a_finished_run_of_data_that_changed_is_not_trained_on_and_is_as_it_was(capsys, tmp_path):
    data, run = write_pairs(tmp_path / "pictures"), tmp_path / "run"
    train_here(run, "clip", arguments(data=data, epochs=2))
    draw("red", "dot").save(data / "blue-dot.png")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    message = fails(capsys, "train", "clip", "--run", run, "--resume", "--epochs", 3)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    command = message.partition("or train a new run from its weights: tellapart ")[2]
    assert main([*shlex.split(command), "--epochs", "1"]) == 0
    assert Run(tmp_path / "run-2").options()["init"] == str(run)


def test_an_unfinished_run_can_be_ended_sooner(unfinished, steps):
    train_here(unfinished, "clip", ["--epochs", "3"])
    assert len(read_log(unfinished)) == 3 * steps
    assert step_sizes(unfinished)[-1] == pytest.approx(0, abs=1e-12)


def test_a_run_of_data_that_must_be_named_is_resumed_and_trained_on_without_naming_them(sequenced, tmp_path, capsys):
    run = shutil.copytree(sequenced, tmp_path / "run")
    epochs = tellapart.load(run).config.epochs
    with few_reads():
        code, _, err = say(capsys, "train", "genomics", "--run", run, "--resume", "--epochs", epochs + 1)
    assert code == 0, err
    assert tellapart.load(run).config.epochs == epochs + 1
    assert "a run of genomics, not of simclr" in fails(capsys, "train", "simclr", "--run", run, "--resume")


def test_what_follows_the_course_of_a_training_begins_again(run_of, tmp_path):
    """MoCo's momentum rises from its start to 1 once more."""
    run = shutil.copytree(run_of("moco"), tmp_path / "run")
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        rise = moco.momentum_at
        patch.setattr(moco, "momentum_at", lambda progress, at: seen.append(progress) or rise(progress, at))
        before = len(read_log(run))
        tellapart.train("moco", run=run, resume=True, epochs=tellapart.load(run).config.epochs + 2)
    added = len(read_log(run)) - before
    assert seen == [k / added for k in range(1, added + 1)]


@pytest.mark.parametrize("trainer", [{"precision": "64-true", "checkpoint_every": 3}])
def test_the_command_after_ctrl_c_continues_with_options_of_the_trainer_that_it_need_not_repeat(
    data, tmp_path, capsys, monkeypatch, trainer
):
    words = arguments(data=data, epochs=2, **{f"trainer.{name}": value for name, value in trainer.items()})
    train_here(tmp_path / "whole", "clip", words)
    run = tmp_path / "my run"
    with monkeypatch.context() as patch:
        stop = interrupted_before(3, lambda: signal.raise_signal(signal.SIGINT))
        patch.setattr(Keeper, "on_train_batch_start", stop)
        code, _, err = say(capsys, "train", "clip", "--run", run, *words)
    assert code == 128 + signal.SIGINT
    suggested = err.splitlines()[-1].partition("Continue with: tellapart ")[2]
    monkeypatch.chdir("/")
    assert main(shlex.split(suggested)) == 0
    assert Run(run).options()["trainer"] == Run(tmp_path / "whole").options()["trainer"]
    assert_same_end(run, tmp_path / "whole")


def test_a_checkpoint_that_does_not_say_its_steps_is_refused(capsys, unfinished):
    kept = torch.load(unfinished / "checkpoint.ckpt", weights_only=True)
    del kept["steps_done"]
    torch.save(kept, unfinished / "checkpoint.ckpt")
    message = fails(capsys, "train", "clip", "--run", unfinished, "--resume", "--epochs", MORE)
    assert "checkpoint.ckpt: of another version. Delete it" in message


def test_a_system_whose_finished_runs_are_final_says_why(run_of, tmp_path):
    run = shutil.copytree(run_of("federated"), tmp_path / "run")
    with pytest.raises(InputError, match=r"finished, and cannot be trained on: its clients go by one schedule"):
        tellapart.train("federated", run=run, resume=True, epochs=20)
    assert Run(run).is_trained()
