"""Contenders of `loss.py` that take turns: a loss in this process, or a checkout's tellapart in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from torch import Tensor

# Threads of torch spin for some milliseconds after their last operation; a contender in another process is spared them.
SETTLE = 0.02


class Turn(NamedTuple):
    """The seconds of one forward and backward pass, and the loss."""

    seconds: float
    loss: float


def turn(loss: Callable[..., Tensor], inputs: list[Tensor], steps: int = 1) -> Turn:
    """So many forward and backward passes, one after the other: the mean of their seconds."""
    start = time.perf_counter()
    for _ in range(steps):
        for x in inputs:
            x.grad = None
        value = loss(*inputs)
        value.backward()
    seconds = (time.perf_counter() - start) / steps
    time.sleep(SETTLE)
    return Turn(seconds, value.item())


class Worker:
    """A process that holds the tellapart of one checkout, and computes only when it is asked to.

    Two versions of a package cannot be imported into one process; two workers with the same code are alike in all else.
    """

    def __init__(self, src: Path) -> None:
        self.src = src.resolve()
        paths = [str(self.src), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py"))],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Worker:
        found = Path(self._answer())
        if not found.is_relative_to(self.src):
            self.end()
            raise SystemExit(f"loss.py: the tellapart imported with {self.src} first on the path is that of {found}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()

    def turn(self, work: str, n: int, d: int, steps: int = 1) -> Turn:
        """What `turn` measures of tellapart's loss there; inputs are those that every process makes for n × d."""
        self.process.stdin.write(json.dumps([work, n, d, steps]) + "\n")
        self.process.stdin.flush()
        return Turn(*self._answer())

    def _answer(self) -> list[float] | str:
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"loss.py: the process that measures {self.src} ended; its message stands above")
        return json.loads(answer)
