"""Genomes to test with, small and made up, and options of training that are as small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

# Small and quick options of the system of genomes, for `write_genomes`.
GENOME_OPTIONS = {
    "read_length": 50,
    "window": 150,
    "width": 8,
    "dim": 8,
    "layers": 2,
    "batch_size": 32,
    "epochs": 6,
    "learning_rate": 0.01,
    "held_out": 0.25,
}

GENOME_WRONG = (
    ("read_length", 0),
    ("window", -1),
    ("error_rate", 1.5),
    ("indels", float("nan")),
    ("temperature", 0.0),
    ("dim", 0),
    ("width", 0),
    ("layers", 13),
)


def write_genomes(folder: Path, n_bases: int = 6000, labels: int = 3) -> Path:
    """A FASTA file per label, of a composition of its own: bases that follow one another as in no other."""
    folder.mkdir(parents=True, exist_ok=True)
    for label in range(labels):
        random = np.random.default_rng(label)
        following = random.dirichlet([0.6] * 4, size=4)
        place, letters = 0, []
        for _ in range(n_bases):
            place = random.choice(4, p=following[place])
            letters.append("ACGT"[place])
        (folder / f"species {label}.fa").write_text(f">genome{label}\n{''.join(letters)}\n")
    return folder


@contextmanager
def few_reads() -> Iterator[None]:
    """Inside, few reads are measured and shown: their clusters would take most of the time."""
    from tellapart.domains.genomes import dataset, measure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "_OF_A_LABEL", 60)
        patch.setattr(dataset, "MAX_SHOWN", 60)
        yield


def genome_arguments(**options: object) -> list[str]:
    """The system of genomes' tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (GENOME_OPTIONS | options).items()]
