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
import os
import shutil
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

import fetch
from pages import publish
from trainings import as_words, row
from watching import Command, Peaks, steps_of

SIDE, QUALITY, LEAST = 224, 85, 256
OPTIONS = {"picture_size": SIDE, "batch_size": 64, "width": 4, "hidden": 128, "dim": 64}
LEAST_PICTURES = 1800  # fewer stay in memory


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


def stored(cache: Path) -> list[Path]:
    """The stores that are whole."""
    return [path.parent for path in cache.glob("tellapart/pictures/[!.]*/store.json")]


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
