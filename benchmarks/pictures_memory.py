"""Pictures that outgrow the memory: how fast they are decoded and trained on, and how much memory that takes.

    python benchmarks/pictures_memory.py            200,000 pictures of 224 × 224; results/pictures_memory.md
    python benchmarks/pictures_memory.py --pictures 2000 10000      a line each; results/pictures_memory_few.md

Pictures are JPEG files, random crops of the photographs in Debian's package opencv-doc (BSD, Apache-2.0), a folder for
each photograph. `tellapart train simclr` decodes them into a store and trains for some steps. It is stopped as by
Ctrl-C, and resumed from the store for as many. With `--whole` it goes on to the end of an epoch, its evaluation and
gallery. Memory is read from /proc five times a second. 200,000 pictures take 30 GB of the disk for the store and about
3 GB for their files; both are deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

import fetch
from pages import publish
from trainings import as_words, row

SIDE, QUALITY, LEAST = 224, 85, 256
OPTIONS = {"picture_size": SIDE, "batch_size": 64, "width": 4, "hidden": 128, "dim": 64}
LEAST_PICTURES = 1800  # fewer stay in memory
PAUSE = 0.2
MIB = 2**20


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


def photographs() -> list[Path]:
    """Those that are large enough to be cut."""
    found = []
    for path in sorted((fetch.fetch("opencv-doc") / "examples" / "data").glob("*.jpg")):
        with Image.open(path) as image:
            if min(image.size) >= LEAST:
                found.append(path)
    return found


@lru_cache(maxsize=8)
def whole(path: Path) -> Image.Image:
    """A photograph, decoded."""
    return Image.open(path).convert("RGB")


def cut(folder: Path, paths: list[Path], number: int) -> None:
    """Write a crop of a photograph; which one and where, the number decides."""
    path = paths[number % len(paths)]
    photograph, random = whole(path), np.random.default_rng(number)
    side = int(random.integers(LEAST // 2, min(photograph.size) + 1))
    left, top = (int(random.integers(0, length - side + 1)) for length in photograph.size)
    crop = photograph.resize((SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    crop.save(folder / path.stem / f"{number:07}.jpg", quality=QUALITY)


def make(folder: Path, n: int) -> None:
    """Write n crops."""
    paths = photographs()
    for path in paths:
        (folder / path.stem).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(partial(cut, folder, paths), range(n), chunksize=512):
            pass


def steps_of(run: Path) -> list[dict[str, float]]:
    """The log of a run."""
    log = run / "log.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def stored(cache: Path) -> list[Path]:
    """The stores that are whole."""
    return [path.parent for path in cache.glob("tellapart/pictures/[!.]*/store.json")]


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


def measure(folder: Path, n: int, steps: int, goes_on: bool) -> str:
    """A line of the table."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        make(folder / "data", n)
        print(f"{n:,} pictures are made", flush=True)
        return row(watched(folder, n, steps, goes_on))
    finally:
        for name in ("data", "cache"):
            shutil.rmtree(folder / name, ignore_errors=True)


def watched(folder: Path, n: int, steps: int, goes_on: bool) -> list[str]:
    """The cells of that line."""
    run, cache = folder / "run", folder / "cache"
    start = [sys.executable, "-m", "tellapart", "train", "simclr", "--data", str(folder / "data"), "--run", str(run)]
    start += as_words(OPTIONS | {"epochs": 1 if goes_on else 1000})
    with Command(start, folder) as command:
        _, before = command.watch(lambda: any(cache.rglob("pictures.npy")))
        filling, after = command.watch(lambda: bool(stored(cache)))
        disk = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
        training, _ = command.watch(lambda: len(steps_of(run)) >= steps)
        command.stop()
    done = len(steps_of(run))
    with Command([*start, "--resume"], folder) as command:
        _, resumed = command.watch(lambda: len(steps_of(run)) > done)
        rest, _ = command.watch(lambda: not goes_on and len(steps_of(run)) >= done + steps)
        command.stop()
    seconds = statistics.median(step["seconds"] for step in steps_of(run))
    data = statistics.median(step["seconds_data"] for step in steps_of(run))
    late = Peaks(*(max(pair) for pair in zip(vars(training).values(), vars(rest).values(), strict=True)))
    return [
        f"{n:,}",
        f"{disk / 1e9:.1f}",
        f"{n / (after - before):.0f}",
        f"{filling.together:,.0f}",
        f"{resumed:.0f}",
        f"{OPTIONS['batch_size'] / seconds:.0f}",
        f"{data / seconds:.1%}",
        f"{late.anonymous:,.0f}",
        f"{late.resident:,.0f}",
    ]


def table(lines: list[str], steps: int, goes_on: bool) -> str:
    """All lines."""
    head = ["pictures", "store, GB", "decoded a second", "all processes while decoding, MiB", "resumed after, s"]
    head += ["trained on a second", "of that reading", "training, anonymous MiB", "training, resident MiB"]
    what = "one epoch, evaluation and gallery" if goes_on else f"{2 * steps} steps"
    options = ", ".join(f"{name} {value}" for name, value in OPTIONS.items())
    return "\n".join(
        [
            row(head),
            "|---" * len(head) + "|",
            *lines,
            "",
            f"simclr, {what}; {options}; {os.cpu_count()} cores. Memory is the peak: of all processes by Pss, of the "
            "training by RssAnon and VmHWM. VmHWM counts shared libraries, too. The system's page cache is in none.",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[200_000])
    parser.add_argument("--steps", type=int, default=20, help="before the training is stopped, and after")
    parser.add_argument("--whole", action="store_true", help="go on to the end of an epoch, evaluation and gallery")
    parser.add_argument("--runs", type=Path, default=Path("runs/pictures_memory"), help="where all of it is kept")
    given = parser.parse_args()
    if min(given.pictures) < LEAST_PICTURES:
        parser.error(
            f"--pictures must be at least {LEAST_PICTURES}, for fewer stay in memory. Got {min(given.pictures)}."
        )
    made = [measure(given.runs.resolve() / str(n), n, given.steps, given.whole) for n in given.pictures]
    mark = "pictures_memory" if max(given.pictures) >= 200_000 else "pictures_memory_few"
    publish(mark, table(made, given.steps, given.whole))
