"""Trainings for a benchmark: each in its own process, on one core, and kept."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_TOOK = "took.json"


def train_all(commands: Mapping[Path, list[str]], at_once: int) -> None:
    """Run the command of each run folder, unless it is complete; its log is kept beside the folder.

    A command is the arguments of python; it trains into the folder, and resumes an incomplete run.
    """
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(train, commands, commands.values()))


def train(folder: Path, arguments: list[str]) -> None:
    """Run one command unless the run is complete, and note its time and memory.

    Raises:
        SystemExit: the run is complete, but of another command.
    """
    if (folder / _TOOK).is_file():
        if took(folder).get("command") != arguments:
            raise SystemExit(f"{folder}: trained by another command. Remove it, or name another folder with --runs.")
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(folder.name, flush=True)
    command, environment = [sys.executable, *arguments], os.environ | {"OMP_NUM_THREADS": "1"}
    with folder.with_name(f"{folder.name}.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    minutes = (used.ru_utime + used.ru_stime) / 60
    note = {"command": arguments, "minutes": minutes, "peak": used.ru_maxrss / 2**20}
    (folder / _TOOK).write_text(json.dumps(note), encoding="utf-8")


def as_words(options: Mapping[str, Any]) -> list[str]:
    """Options as arguments of a command line."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def results(folder: Path) -> dict[str, Any]:
    """The table of a run's evaluation."""
    table: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return table


def took(folder: Path) -> dict[str, Any]:
    """The `minutes` of processor time of a run, independent of other load, and the `peak` of its memory in GiB."""
    found: dict[str, Any] = json.loads((folder / _TOOK).read_text(encoding="utf-8"))
    return found


def minutes_of_steps(folder: Path, together: int = 1) -> float:
    """The median step times the number of steps, so that other load and pauses do not count.

    Where steps differ by turns, `together` so many are one.
    """
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    turns = [sum(seconds[i : i + together]) for i in range(0, len(seconds) - together + 1, together)]
    return float(statistics.median(turns)) * len(seconds) / together / 60


def spread(values: Iterable[float], how: str = ".3f") -> str:
    """Mean ± sample standard deviation; a single value alone. No line ends within it."""
    found = list(values)
    fixed = "\N{NO-BREAK SPACE}"
    deviation = f"{fixed}±{fixed}{statistics.stdev(found):{how}}" if len(found) > 1 else ""
    return f"{statistics.mean(found):{how}}{deviation}"


def row(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"
