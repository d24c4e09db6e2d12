"""`python -m …` in a process that has torch and Lightning loaded: importing them takes longer than most tests.

A server imports them once for all tests of a worker, and runs nothing; processes are forked from it.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.util import Finalize
from pathlib import Path
from unittest.mock import patch

from tellapart.runs import Run

LOADED = [
    *("kornia.augmentation", "lightning.pytorch", "pyarrow.parquet", "pytest", "rich._emoji_codes", "sklearn.cluster"),
    *("sklearn.linear_model", "sklearn.manifold", "tellapart.cli.commands", "tellapart.training.loop"),
    *("tests.preloaded", "torch.profiler"),
]
# Threads of tests side by side would wait for each other.
ALONE = {"OMP_NUM_THREADS": "1"}
# A server that forks must have no threads; pyarrow, which comes with scikit-learn, would start one.
SINGLE = ALONE | {"JE_ARROW_MALLOC_CONF": "background_thread:false"}


def warm() -> ForkServerContext:
    """Where processes come from. The server starts when it is first asked for, and ends with this process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    with patch.dict(os.environ, SINGLE):  # libraries read it when they are loaded
        forkserver.ensure_running()
    return context


@dataclass(frozen=True)
class _Command:
    module: str
    words: list[str]
    outputs: tuple[str, str]
    start_new_session: bool
    before: Callable[[], None] | None
    folder: str
    environment: dict[str, str]

    def __call__(self) -> None:
        """In the forked process: what a shell would do, and then the module."""
        tasks = Path(f"/proc/{os.getppid()}/task")
        assert not tasks.exists() or len(list(tasks.iterdir())) == 1, "locks of the server's threads would stay locked"
        if self.start_new_session:
            os.setsid()
        for number, path in enumerate(self.outputs, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        if self.before is not None:
            self.before()
        sys.argv[1:] = self.words
        runpy.run_module(self.module, run_name="__main__", alter_sys=True)


class Forked:
    """`python -m module words…`, with what tests use of `subprocess.Popen`; first it calls `before`."""

    def __init__(
        self,
        module: str,
        words: list[str],
        *,
        start_new_session: bool = False,
        before: Callable[[], None] | None = None,
    ) -> None:
        self._files = [tempfile.NamedTemporaryFile("r") for _ in ("stdout", "stderr")]  # noqa: SIM115
        self._said: list[str] = []
        out, err = (file.name for file in self._files)
        place = (str(Path.cwd()), os.environ | ALONE)
        command = _Command(module, words, (out, err), start_new_session, before, *place)
        self._process = warm().Process(target=command)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; its stdout and stderr."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"process {self.pid} has not ended within {timeout} s"
        for file in self._files:
            with file:
                self._said.append(file.read())
        self._files = []
        out, err = self._said
        return out, err


def on_devices(run: Path, n: int) -> Callable[[], None] | None:
    """What to do before a module that trains into that run on one device or two."""
    return partial(beside_another, run) if n == 2 else None


def beside_another(run: Path) -> None:
    """Become two processes, each told its rank as `torchrun` does: Lightning would start the second from the shell.

    The second starts, as it would then, when the first has made the run, and the first waits for its end.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    first = os.getpid()
    second = os.fork()
    os.environ["LOCAL_RANK"] = "0" if second else "1"
    if second:
        Finalize(None, os.waitpid, (second, 0), exitpriority=0)
    while not second and not Run(run).exists():
        if os.getppid() != first:
            os._exit(1)
        time.sleep(0.01)
