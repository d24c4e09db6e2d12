"""Retrieval of unseen translations: characters, a bag of n-grams, a small BERT, and one with masked tokens.

    python benchmarks/bilingual.py                              everything; writes and prints both tables
    python benchmarks/bilingual.py --only full --seeds 0        a part

`full`: the bag on all pairs of LibreOffice's help (held out by page) and of the verses (by book). `curve`: bag,
transformer and transformer with masked tokens, on 500, 2,000, 8,000 and all pairs of LibreOffice's help. Masked tokens
are also predicted in the other training sentences, without their translations. The data are those of
`bilingual_data.py`, in a cache; the verses need `pip install pysword`. Each training is an ordinary `tellapart
train bilingual` in its own process, on one core. runs/bilingual keeps them, and complete ones are not repeated.
The seed decides what is held out, which pairs are used, the first weights and the order of the batches.
"""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilingual_data import translations
from pages import publish
from trainings import as_words, minutes_of_steps, results, row, spread, train_all

COLLECTIONS = ("libreoffice", "verses")
ONE_SEED = (8000, 0)
"""The sizes on which the transformers have only the first seed, because they take long."""

BAG, PLAIN, READING = "bag", "transformer", "transformer + masked tokens"
_TRANSFORMER = {"encoder": "transformer", "dim": 192, "layers": 1}
ENCODERS: dict[str, dict[str, Any]] = {
    BAG: {"encoder": "bag"},
    PLAIN: _TRANSFORMER | {"masked_weight": 0},
    READING: _TRANSFORMER | {"masked_weight": 0.1, "reading": 256},
}
SIZES = {500: (32, 250), 2000: (16, 250), 8000: (6, 512), 0: (4, 512)}
"""Epochs and batch size for each number of pairs, 0 for all: many epochs of small batches for few pairs."""


@dataclass(frozen=True)
class Trial:
    """One training."""

    data: str
    encoder: str
    pairs: int
    seed: int

    def folder(self, runs: Path) -> Path:
        """The run's folder."""
        encoder = self.encoder.replace(" + ", "-").replace(" ", "-")
        return runs / f"{self.data}-{encoder}-{self.pairs or 'all'}-{self.seed}"

    def command(self, runs: Path) -> list[str]:
        """The arguments of python."""
        epochs, batch_size = SIZES[self.pairs]
        options = {"pairs": self.pairs, "seed": self.seed, "epochs": epochs, "batch_size": batch_size}
        options = ENCODERS[self.encoder] | options
        where = {"data": translations(self.data), "run": self.folder(runs)}
        return ["-m", "tellapart", "train", "bilingual", "--resume", *as_words(where | options)]


def full(seeds: list[int]) -> list[Trial]:
    """The bag on everything."""
    return [Trial(data, BAG, 0, seed) for data in COLLECTIONS for seed in seeds]


def curve(seeds: list[int], sizes: list[int]) -> list[Trial]:
    """All encoders on growing numbers of pairs, the short trainings first."""
    return [
        Trial("libreoffice", encoder, size, seed)
        for size in sizes
        for encoder in ENCODERS
        for seed in (seeds[:1] if encoder != BAG and size in ONE_SEED else seeds)
    ]


def full_table(seeds: list[int], runs: Path) -> str:
    """All measured recall, on both collections."""
    tables = {data: [_read(Trial(data, BAG, 0, seed).folder(runs)) for seed in seeds] for data in COLLECTIONS}
    lines = [row(["", "", "1000, cosine", "1000, margin", "all, cosine", "all, margin"]), "|---" * 6 + "|"]
    for data, found in tables.items():
        for place, (direction, name, *_) in enumerate(found[0]["rows"]):
            columns = zip(*(table["rows"][place][2:] for table in found), strict=True)
            where = f"{data}, {_direction(data, direction)}" if direction else ""
            called = "bag, trained" if name == "trained" else "bag, untrained" if name == "untrained" else name
            lines.append(row([where, called, *map(spread, columns)]))
    for data, found in tables.items():
        sizes = "; ".join(table["title"].removeprefix("R@1 among ") for table in found)
        minutes = spread([table["minutes"] for table in found], ".1f")
        lines.append(f"\n{data}: {sizes}. Training took {minutes} minutes on one core, by the median step.")
    lines.append(f"\nSeeds {', '.join(map(str, seeds))}; {_length(0)}, all else by default.")
    return "\n".join(lines) + "\n"


def curve_table(seeds: list[int], sizes: list[int], runs: Path) -> str:
    """Recall against the number of pairs, mean of both directions."""
    titles = [f"{size:,} pairs" if size else "all pairs" for size in sizes]
    lines = [row(["", "", *titles]), "|---" * (2 + len(sizes)) + "|"]
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for trial in curve(seeds, sizes):
        groups.setdefault((trial.encoder, trial.pairs), []).append(_read(trial.folder(runs)))
    n_measures = len(_MEASURES)
    for column in range(n_measures):
        baseline = [_both(table, "TF-IDF of characters")[column] for table in groups[BAG, sizes[0]]]
        lines.append(row([_MEASURES[column], "TF-IDF of characters", *[spread(baseline)] * len(sizes)]))
        for encoder in ENCODERS:
            cells = [spread([_both(table, "trained")[column] for table in groups[encoder, size]]) for size in sizes]
            lines.append(row(["", encoder, *cells]))
    for encoder in ENCODERS:
        cells = [spread([table["minutes"] for table in groups[encoder, size]], ".1f") for size in sizes]
        lines.append(row(["minutes, by the median step" if encoder == BAG else "", encoder, *cells]))
    fewer = " and ".join(title for title, size in zip(titles, sizes, strict=True) if size in ONE_SEED)
    rest = f", of the transformers on {fewer} the first alone" if fewer else ""
    lines.append(f"\nMean of both directions; seeds {', '.join(map(str, seeds))}{rest}.")
    lengths = (f"{title} {_length(size)}" for title, size in zip(titles, sizes, strict=True))
    lines[-1] += f" Trained for {'; '.join(lengths)}"
    for encoder in (PLAIN, READING):
        options = ", ".join(f"{name} {value}" for name, value in ENCODERS[encoder].items() if name != "encoder")
        lines[-1] += f". {encoder.capitalize()}: {options}"
    lines[-1] += "; all else by default."
    return "\n".join(lines) + "\n"


_MEASURES = ("1,000, cosine", "1,000, margin", "all, cosine", "all, margin")
PARTS = ("full", "curve")


def _read(folder: Path) -> dict[str, Any]:
    return results(folder) | {"minutes": minutes_of_steps(folder)}


def _both(table: dict[str, Any], name: str) -> list[float]:
    """A row's figures, the mean of both directions."""
    return [statistics.mean(pair) for pair in zip(*(row[2:] for row in table["rows"] if row[1] == name), strict=True)]


def _direction(data: str, direction: str) -> str:
    target = {"libreoffice": "French", "verses": "Spanish"}[data]
    return direction.replace("source", "English").replace("target", target)


def _length(size: int) -> str:
    epochs, batch_size = SIZES[size]
    return f"{epochs} epochs, {batch_size} in a batch"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=list(SIZES), help="pairs; 0 for all")
    parser.add_argument("--runs", type=Path, default=Path("runs/bilingual"))
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs at a time")
    given = parser.parse_args()
    for data in COLLECTIONS:
        translations(data)
    chosen = {"full": full(given.seeds), "curve": curve(given.seeds, given.sizes)}
    for part in given.only:
        train_all({trial.folder(given.runs): trial.command(given.runs) for trial in chosen[part]}, given.at_once)
        if part == "full":
            publish("bilingual", full_table(given.seeds, given.runs))
        else:
            publish("bilingual_curve", curve_table(given.seeds, given.sizes, given.runs))


if __name__ == "__main__":
    main()
