"""Texts that go to a store, to test with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_WORDS = ["red", "blue", "große", "kočka", "猫", "dog", "swims", "runs", "über", "under", "the", "a"]


def sentence(random: np.random.Generator) -> str:
    return " ".join(random.choice(_WORDS, random.integers(1, 9)))


def write_translations(folder: Path, n: int, seed: int = 0) -> Path:
    """A table of sentences, translations and groups of three, some of them repeated; two rows have an empty side."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    rows = [f"{sentence(random)} {i % (n - 5)}\t{sentence(random)} {i % (n - 9)}\tbook {i // 3}" for i in range(n)]
    rows[4:4] = ["\tno source\tbook 1", "no target\t\tbook 1"]
    (folder / "pairs.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "pairs.tsv"


def write_reads(folder: Path, n: int, length: int = 80, seed: int = 0) -> Path:
    """A FASTQ file of reads from random places of two genomes; one record is empty."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    genome = "".join(random.choice(list("ACGT"), 5000))
    starts = random.integers(0, 5000 - length, n).tolist()
    records = [f"@read{i}\n{genome[at : at + length]}\n+\n{'I' * length}\n" for i, at in enumerate(starts)]
    records.insert(3, "@empty\n\n+\n\n")
    (folder / "reads.fastq").write_text("".join(records))
    return folder / "reads.fastq"


def stores(cache: Path) -> list[Path]:
    """The folders in a cache of texts, whole or not."""
    return sorted(folder for folder in cache.iterdir() if folder.is_dir())
