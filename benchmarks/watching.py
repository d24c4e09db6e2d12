"""Commands that a benchmark watches: the memory that they take, and how far they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PAUSE = 0.2


@dataclass
class Peaks:
    """Of a command and the processes that it started, what was seen at most, in MiB."""

    resident: float = 0.0
    """VmHWM of the command itself, as the system counts it: with shared libraries and mapped files."""
    anonymous: float = 0.0
    """RssAnon of the command itself: without these."""
    together: float = 0.0
    """Pss of all its processes: what they share counts once."""

    def look(self, pid: int) -> None:
        """Read /proc."""
        try:
            lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
            kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
            self.resident = max(self.resident, kib["VmHWM"] / 1024)
            self.anonymous = max(self.anonymous, kib["RssAnon"] / 1024)
            self.together = max(self.together, sum(map(shared_once, family(pid))) / 1024)
        except (OSError, KeyError):
            pass  # it has just ended


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in read(task).split()]
    return found


def shared_once(pid: int) -> int:
    """Pss of a process in KiB; 0 if it has ended."""
    lines = read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def read(path: Path) -> str:
    """A file of /proc, "" if its process has ended."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def steps_of(run: Path) -> list[dict[str, float]]:
    """The log of a run."""
    log = run / "log.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


@dataclass
class Command:
    """A training that is watched."""

    words: list[str]
    folder: Path

    def __enter__(self) -> Command:
        """Start it, as a shell does."""
        log = (self.folder / "said.txt").open("a", encoding="utf-8")
        environment = os.environ | {"XDG_CACHE_HOME": str(self.folder / "cache")}
        with log:
            self.process = subprocess.Popen(self.words, env=environment, stdout=log, stderr=log)
        self.started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind, whatever happened."""
        if self.process.poll() is None:
            self.process.kill()

    def watch(self, until: Callable[[], bool]) -> tuple[Peaks, float]:
        """Look at its memory until something has come, or it has ended; also the seconds since its start."""
        peaks = Peaks()
        while self.process.poll() is None and not until():
            peaks.look(self.process.pid)
            time.sleep(PAUSE)
        return peaks, time.perf_counter() - self.started

    def stop(self) -> None:
        """Stop it as Ctrl-C does, and wait."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait()
        if code not in (0, 128 + signal.SIGINT):
            raise SystemExit(f"{self.folder / 'said.txt'}: the training ended with exit code {code}.")
