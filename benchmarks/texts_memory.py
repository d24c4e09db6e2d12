"""Texts and reads that outgrow the memory: how fast they are read and trained on, and how much memory that takes.

    python benchmarks/texts_memory.py                                   results/texts_memory.md
    python benchmarks/texts_memory.py --pairs 20000 --reads 20000 --few 20000       to try it

Pairs of sentences are made-up words in random order, word by word in another made-up language, each a line of a TSV.
Reads are 150 bases from random places of a random genome, in a FASTQ file. Both come from a seed. `tellapart train`
reads them into a store and trains for some steps. It is stopped as by Ctrl-C, and resumed for as many. The same
training with all texts in memory, as of small data, is measured on a few. /proc is read five times a second.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pages import publish
from trainings import as_words, row
from watching import Command, Peaks, steps_of

CHUNK, LENGTH, WORDS = 10_000, 150, 12
BILINGUAL = {"dim": 64, "buckets": 2**16, "batch_size": 512, "epochs": 10}
GENOMICS = {"width": 16, "dim": 32, "layers": 2, "batch_size": 512, "epochs": 10, "read_length": 100}
# As the command, with a limit beyond all files, or none.
START = "from tellapart.domains import text_store as s; s.IN_MEMORY = {}; from tellapart.cli import main; exit(main())"


def write_pairs(path: Path, n: int) -> None:
    """n lines of sentence and translation."""
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnoprstuvz"))
    words = [["".join(random.choice(letters, size)) for size in random.integers(2, 10, 20_000)] for _ in range(2)]
    first, second = (np.array(side, dtype=object) for side in words)
    with path.open("w", encoding="utf-8") as file:
        for begin in range(0, n, CHUNK):
            chosen = random.integers(0, len(first), (min(CHUNK, n - begin), WORDS))
            for one, other in zip(first[chosen], second[chosen], strict=True):
                file.write(f"{' '.join(one)}\t{' '.join(other)}\n")


def write_reads(path: Path, n: int) -> None:
    """n reads as FASTQ."""
    random = np.random.default_rng(0)
    genome = np.frombuffer(b"ACGT", dtype=np.uint8)[random.integers(0, 4, 5_000_000)]
    with path.open("wb") as file:
        for begin in range(0, n, CHUNK):
            places = random.integers(0, len(genome) - LENGTH, min(CHUNK, n - begin))
            for number, read in enumerate(genome[places[:, None] + np.arange(LENGTH)], begin):
                file.write(b"@read%d\n%b\n+\n%b\n" % (number, read.tobytes(), b"I" * LENGTH))


KINDS: dict[str, tuple[str, dict[str, int], str, Callable[[Path, int], None]]] = {
    "pairs": ("bilingual", BILINGUAL, "pairs.tsv", write_pairs),
    "reads": ("genomics", GENOMICS, "reads.fastq", write_reads),
}


def measure(folder: Path, kind: str, n: int, steps: int, stored: bool) -> str:
    """A line of the table."""
    system, options, name, write = KINDS[kind]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        write(folder / name, n)
        print(f"{n:,} {kind} are made", flush=True)
        words = [sys.executable, "-c", START.format(0 if stored else 2**60), "train", system]
        words += ["--data", str(folder / name), "--run", str(folder / "run"), *as_words(options)]
        length = (folder / name).stat().st_size / 1e6
        return row([f"{n:,} {kind}", f"{length:,.0f}", *watched(words, folder, n, steps, stored)])
    finally:
        shutil.rmtree(folder / "cache", ignore_errors=True)
        (folder / name).unlink()


def watched(words: list[str], folder: Path, n: int, steps: int, stored: bool) -> list[str]:
    """The other cells of that line."""
    run, cache = folder / "run", folder / "cache"
    with Command(words, folder) as command:
        _, began = command.watch(lambda: not stored or any(cache.rglob("*.bytes")))
        reading, ended = command.watch(lambda: not stored or any(cache.glob("tellapart/texts/[!.]*/store.json")))
        training, _ = command.watch(lambda: len(steps_of(run)) >= steps)
        command.stop()
    done = len(steps_of(run))
    with Command([*words, "--resume"], folder) as command:
        first, resumed = command.watch(lambda: len(steps_of(run)) > done)
        then, _ = command.watch(lambda: len(steps_of(run)) >= done + steps)
        command.stop()
    seconds = statistics.median(step["seconds"] for step in steps_of(run))
    return [
        "store" if stored else "memory",
        f"{n / (ended - began):,.0f}" if stored else "",
        memory(reading) if stored else "",
        memory(training),
        memory(Peaks(*map(max, zip(vars(first).values(), vars(then).values(), strict=True)))),
        f"{resumed:.0f}",
        f"{512 / seconds:,.0f}",
    ]


def memory(peaks: Peaks) -> str:
    """Anonymous and resident memory, in MiB."""
    return f"{peaks.anonymous:,.0f} / {peaks.resident:,.0f}"


def table(lines: list[str], steps: int) -> str:
    """All lines."""
    head = ["data", "file, MB", "texts or bases in", "rows read a second", "reading, MiB", "training, MiB"]
    head += ["resumed, MiB", "first step after, s", "rows trained on a second"]
    kinds = [f"{system}: {', '.join(f'{k} {v}' for k, v in options.items())}" for system, options, *_ in KINDS.values()]
    return "\n".join(
        [
            row(head),
            "|---" * len(head) + "|",
            *lines,
            "",
            f"{' and '.join(kinds)}; {steps} steps, and as many after they were resumed; {os.cpu_count()} cores. MiB "
            "are the peak of anonymous / resident memory (RssAnon, VmHWM) of a fresh process. The latter counts shared "
            "libraries and mapped files, pages of which the system takes back where it needs them.",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--reads", type=int, default=3_000_000)
    parser.add_argument("--few", type=int, default=200_000, help="pairs, and reads, that are held in memory")
    parser.add_argument("--steps", type=int, default=10, help="before the training is stopped, and after")
    parser.add_argument("--runs", type=Path, default=Path("runs/texts_memory"), help="where all of it is kept")
    given = parser.parse_args()
    made = []
    for kind in KINDS:
        for n, stored in ((given.few, False), (getattr(given, kind), True)):
            folder = given.runs.resolve() / f"{kind}-{n}-{'store' if stored else 'memory'}"
            made.append(measure(folder, kind, n, given.steps, stored))
            print(made[-1], flush=True)
    publish("texts_memory", table(made, given.steps))
