"""A run that was killed and continued, beside one that never was: in a process of its own, or as an exception."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tellapart.cli import main
from tellapart.training.keeper import Keeper
from tests.forked import Forked, beside_another

# As a shell starts them, which imports everything anew, or forked.
Process = subprocess.Popen[str] | Forked


class Killed(Exception):
    """In the place of a kill: nothing is saved that was not."""


@contextmanager
def killed_before(step: int) -> Iterator[None]:
    """Inside, training is killed before that step."""

    def kill() -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keeper, "on_train_batch_start", interrupted_before(step, kill))
        yield


def interrupted_before(step: int, interrupt: Callable[[], object]) -> Callable[..., None]:
    """What the keeper does when a step begins, and before it that."""
    begin = Keeper.on_train_batch_start

    def interrupting(keeper: Keeper, *arguments: object) -> None:
        if keeper.count.done + 1 == step:
            interrupt()
        begin(keeper, *arguments)

    return interrupting


def train_here(run: Path, system: str, words: list[str]) -> None:
    """Train in this process, where torch and Lightning are loaded: that takes longer than most tiny runs."""
    assert main(["train", system, "--run", str(run), "--resume", *words]) == 0


def train_on_two(run: Path, system: str, words: list[str]) -> None:
    code, _, err = finish(start(run, system, words, devices=2))
    assert code == 0, err


def whole_and_killed(folder: Path, system: str, words: list[str], step: int, devices: int = 1) -> tuple[Path, Path]:
    """Their folders; the one is killed, with all its processes, once that step is in its log."""
    whole, killed = folder / "whole", folder / "killed"
    train = train_here if devices == 1 else train_on_two
    train(whole, system, words)
    process = start(killed, system, words, devices, last=step)
    wait_for_step(killed, step, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (killed / "weights.safetensors").exists()
    train(killed, system, words)
    return whole, killed


def start(run: Path, system: str, words: list[str], devices: int = 1, last: int | None = None) -> Forked:
    """The words say how many devices, too; after the last step it waits to be killed."""
    command = ["train", system, "--run", str(run), "--resume", *words]
    return Forked("tellapart", command, start_new_session=True, before=partial(_prepare, run, devices, last))


def _prepare(run: Path, devices: int, last: int | None) -> None:
    if devices == 2:
        beside_another(run)
    if last is not None:
        setattr(Keeper, "on_train_batch_start", interrupted_before(last + 1, signal.pause))  # noqa: B010


def finish(process: Process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def wait_for_step(run: Path, step: int, process: Process) -> None:
    log = run / "log.jsonl"
    while not log.exists() or log.read_text().count("\n") < step:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
