"""What an evaluation takes: CPU time and memory of `tellapart evaluate` in a process of its own.

    python benchmarks/evaluation.py                     all evaluations; results/evaluation.md
    python benchmarks/evaluation.py fashion gallery     one of them, and the training of a gallery

A run is trained for a moment on a few of the data, and then evaluated on all of them:

- `fashion`: simclr on Fashion-MNIST, 60,000 labels and 10,000 pictures to tell them of;
- `harmony`: the same pictures, 6,000 labels of each class;
- `photographs`: simclr on 3,000 pictures of 224 × 224, random crops of photographs, a folder for each photograph;
- `genomes`: genomics on the genomes of 4 species, several strains of each, of Debian's package ragout-examples.

`gallery` is a training and not an evaluation: a step of simclr on Fashion-MNIST and all that follows it, with the
embeddings of all 70,000 pictures for search, the evaluation, and the report.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fetch
import pictures_memory
from pages import publish
from trainings import as_words, row

SEEN = 400  # pictures, or thousands of bases, that a run is trained on
MOMENT = {"epochs": 1, "batch_size": 64}


@dataclass(frozen=True)
class Work:
    """A system with its options, a few data to train on, and those to evaluate on."""

    system: str
    options: dict[str, object]
    few: Callable[[Path], Path]
    whole: Callable[[Path], Path]


def fashion(_: Path) -> Path:
    """The folder of Fashion-MNIST."""
    return fetch.fetch("fashion-mnist")


def some_fashion(folder: Path) -> Path:
    """A few of its pictures, with their labels."""
    whole = fetch.fetch("fashion-mnist")
    with gzip.open(whole / "train-images-idx3-ubyte.gz") as file:
        pictures = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:SEEN]
    with gzip.open(whole / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[:SEEN]
    np.savez(folder / "few.npz", images=pictures, labels=labels)
    return folder / "few.npz"


def crops(folder: Path, n: int) -> Path:
    """A folder of crops of photographs."""
    made = folder / f"crops-{n}"
    if not made.is_dir():
        with fetch.whole(made) as partial:
            pictures_memory.make(partial, n)
    return made


def genomes(_: Path) -> Path:
    """The folder of the genomes."""
    return fetch.fetch("ragout")


def some_genomes(folder: Path) -> Path:
    """The beginning of two of them."""
    made = folder / "genomes"
    made.mkdir(exist_ok=True)
    for name in ("S.Aureus/references/COL.fasta.gz", "H.Pylori/references/G27.fasta.gz"):
        with gzip.open(fetch.fetch("ragout") / name, "rt", encoding="ascii") as file:
            text = file.read(1000 * SEEN)
        (made / Path(name).name.removesuffix(".gz")).write_text(text, encoding="ascii")
    return made


WORKS = {
    "fashion": Work("simclr", MOMENT, some_fashion, fashion),
    "harmony": Work("harmony", MOMENT | {"labels_per_class": 6000}, some_fashion, fashion),
    "photographs": Work("simclr", MOMENT, lambda folder: crops(folder, 100), lambda folder: crops(folder, 3000)),
    "genomes": Work("genomics", MOMENT, some_genomes, genomes),
}
GALLERY = {"epochs": 1, "batch_size": 60_000, "chunk": 500}


def watched(words: list[object], log: Path) -> tuple[float, float, float]:
    """CPU seconds, seconds and peak MiB of a command; what it says is kept."""
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, "-m", "tellapart", *map(str, words)]
        process = subprocess.Popen(command, stdout=file, stderr=file)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{log}: the command ended with exit code {process.returncode}.")
    return used.ru_utime + used.ru_stime, time.perf_counter() - start, used.ru_maxrss / 1024


def measure(name: str, folder: Path) -> str:
    """A line of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / f"run-{name}"
    shutil.rmtree(run, ignore_errors=True)
    if name == "gallery":
        train = ["train", "simclr", "--data", fashion(folder), "--run", run, *as_words(GALLERY)]
        return row([name, *shown(watched(train, folder / f"{name}.txt"))])
    work = WORKS[name]
    train = ["train", work.system, "--data", work.few(folder), "--run", run, *as_words(work.options)]
    watched(train, folder / f"{name}-trained.txt")
    return row([name, *shown(watched(["evaluate", run, "--data", work.whole(folder)], folder / f"{name}.txt"))])


def shown(found: tuple[float, float, float]) -> list[str]:
    """Figures as cells."""
    return [f"{number:,.0f}" for number in found]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join([*WORKS, 'gallery'])}")
    parser.add_argument("--runs", type=Path, default=Path("runs/evaluation"), help="where runs and crops are kept")
    given = parser.parse_args()
    if unknown := set(given.names) - {*WORKS, "gallery"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}.")
    chosen = given.names or list(WORKS)
    lines = [row(["", "CPU seconds", "seconds", "peak MiB"]), "|---" * 4 + "|"]
    for name in chosen:
        lines.append(measure(name, given.runs.resolve()))
        print(lines[-1], flush=True)
    table = "\n".join(lines)
    if not given.names:
        threads = os.environ.get("OMP_NUM_THREADS", "as many")
        publish("evaluation", f"{table}\n\n{os.cpu_count()} cores, {threads} of them used at a time.")
