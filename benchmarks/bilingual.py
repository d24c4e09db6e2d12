"""Translations found among unseen sentences: by characters alone, a bag of n-grams, a small BERT, and one that reads.

    python benchmarks/bilingual.py                              everything; writes and prints both tables
    python benchmarks/bilingual.py --only full --seeds 0        some of it; prints its table

`full`: the bag on all pairs of LibreOffice's help (held out by page) and of the verses (by book). `curve`: bag,
transformer and transformer with masked tokens, on 500, 2,000, 8,000 and all pairs of LibreOffice's help; masked tokens
are also guessed in the other training sentences, whose translations are not told. The data are those of
`bilingual_data.py`, fetched into a cache. Each training is an ordinary `tellapart train bilingual` in a process of its
own, on one core; runs/bilingual keeps them, and what is complete is not trained again. The seed decides what is held
out, which pairs are used, the first weights and the order of the batches.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilingual_data import translations

RESULTS = Path(__file__).parent / "results"
COLLECTIONS = ("libreoffice", "verses")
SIZES = (500, 2000, 8000, 0)
SEEDS_OF_SIZE = {8000: 1, 0: 1}
"""How many seeds the transformers have on the larger sizes, for they take long; on the others all."""

BAG, PLAIN, READING = "bag", "transformer", "transformer + masked tokens"
_TRANSFORMER = {"encoder": "transformer", "dim": 192, "layers": 1, "learning_rate": 2e-3, "batch_size": 64}
ENCODERS: dict[str, dict[str, Any]] = {
    BAG: {"encoder": "bag"},
    PLAIN: _TRANSFORMER | {"masked_weight": 0},
    READING: _TRANSFORMER | {"masked_weight": 1, "reading": 256},
}
# Of few pairs, many epochs of small line-ups: about as many steps for all.
EPOCHS = {BAG: {500: 16, 2000: 8, 8000: 4, 0: 4}, PLAIN: {500: 40, 2000: 10, 8000: 3, 0: 2}}
EPOCHS[READING] = EPOCHS[PLAIN]


@dataclass(frozen=True)
class Trial:
    """One training."""

    data: str
    encoder: str
    pairs: int
    seed: int

    def folder(self, runs: Path) -> Path:
        """Where it is."""
        return (
            runs / f"{self.data}-{self.encoder.replace(' + ', '-').replace(' ', '-')}-{self.pairs or 'all'}-{self.seed}"
        )

    def words(self, runs: Path) -> list[str]:
        """The command line."""
        options: dict[str, Any] = {"pairs": self.pairs, "seed": self.seed, "epochs": EPOCHS[self.encoder][self.pairs]}
        if self.encoder == BAG and self.pairs in (500, 2000):
            options["batch_size"] = 250
        options = ENCODERS[self.encoder] | options
        words = [
            "train",
            "bilingual",
            "--data",
            str(translations(self.data)),
            "--run",
            str(self.folder(runs)),
            "--resume",
        ]
        return words + [word for name, value in options.items() for word in (f"--{name}", str(value))]


def full(seeds: list[int]) -> list[Trial]:
    """The bag on everything."""
    return [Trial(data, BAG, 0, seed) for data in COLLECTIONS for seed in seeds]


def curve(seeds: list[int]) -> list[Trial]:
    """All encoders on some pairs and on more; the short ones first."""
    return [
        Trial("libreoffice", encoder, size, seed)
        for size in SIZES
        for encoder in ENCODERS
        for seed in (seeds if encoder == BAG else seeds[: SEEDS_OF_SIZE.get(size)])
    ]


def run(trial: Trial, runs: Path) -> None:
    """Train unless that is done; the log is kept beside the run."""
    folder = trial.folder(runs)
    if (folder / "report.html").is_file():
        return
    runs.mkdir(parents=True, exist_ok=True)
    print(folder.name, flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (runs / f"{folder.name}.txt").open("a", encoding="utf-8") as log:
        words = [sys.executable, "-m", "tellapart", *trial.words(runs)]
        subprocess.run(words, check=True, env=environment, stdout=log, stderr=subprocess.STDOUT)


def full_table(seeds: list[int], runs: Path) -> str:
    """Recall of everything that was measured, on both collections."""
    tables = {data: [_read(Trial(data, BAG, 0, seed).folder(runs)) for seed in seeds] for data in COLLECTIONS}
    lines = [_line(["", "", "1000, cosine", "1000, margin", "all, cosine", "all, margin"]), "|---" * 6 + "|"]
    for data, found in tables.items():
        for row, (direction, name, *_) in enumerate(found[0]["rows"]):
            columns = zip(*(table["rows"][row][2:] for table in found), strict=True)
            where = f"{data}, {_direction(data, direction)}" if direction else ""
            called = "bag, trained" if name == "trained" else "bag, untrained" if name == "untrained" else name
            lines.append(_line([where, called, *map(_spread, columns)]))
    for data, found in tables.items():
        sizes = "; ".join(table["title"].removeprefix("R@1 among ") for table in found)
        minutes = _spread([table["minutes"] for table in found], ".1f")
        lines.append(f"\n{data}: {sizes}. Training took {minutes} minutes on one core.")
    lines.append(f"\nSeeds {', '.join(map(str, seeds))}; {_said(ENCODERS[BAG] | {'epochs': EPOCHS[BAG][0]})}.")
    return "\n".join(lines) + "\n"


def curve_table(seeds: list[int], runs: Path) -> str:
    """Recall against the number of pairs, mean of both directions."""
    sizes = [f"{size:,} pairs" if size else "all pairs" for size in SIZES]
    lines = [_line(["", "", *sizes]), "|---" * (2 + len(sizes)) + "|"]
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for trial in curve(seeds):
        groups.setdefault((trial.encoder, trial.pairs), []).append(_read(trial.folder(runs)))
    n_measures = len(_MEASURES)
    for column in range(n_measures):
        baseline = [_both(table, "TF-IDF of characters")[column] for table in groups[BAG, 500]]
        lines.append(_line([_MEASURES[column], "TF-IDF of characters", *[_spread(baseline)] * len(SIZES)]))
        for encoder in ENCODERS:
            cells = [_spread([_both(table, "trained")[column] for table in groups[encoder, size]]) for size in SIZES]
            lines.append(_line(["", encoder, *cells]))
    for encoder in ENCODERS:
        cells = [_spread([table["minutes"] for table in groups[encoder, size]], ".1f") for size in SIZES]
        lines.append(_line(["minutes of training" if encoder == BAG else "", encoder, *cells]))
    fewer = ", ".join(f"{size or 'all'} pairs {n}" for size, n in SEEDS_OF_SIZE.items())
    lines.append(f"\nMean of both directions; seeds {', '.join(map(str, seeds))}; of the transformers on {fewer}.")
    for encoder, options in ENCODERS.items():
        epochs = ", ".join(map(str, EPOCHS[encoder].values()))
        lines.append(f"{encoder}: {_said({k: v for k, v in options.items() if k != 'encoder'} | {'epochs': epochs})}.")
    return "\n".join(lines) + "\n"


_MEASURES = ("1,000, cosine", "1,000, margin", "all, cosine", "all, margin")
PARTS = {"full": (full, full_table, "bilingual.md"), "curve": (curve, curve_table, "bilingual_curve.md")}


def _read(folder: Path) -> dict[str, Any]:
    """The results of a run, and how many minutes its steps took."""
    table: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    steps = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    # Of the median step: the few during which a run was paused must not count.
    return table | {"minutes": statistics.median(step["seconds"] for step in steps) * len(steps) / 60}


def _both(table: dict[str, Any], name: str) -> list[float]:
    """A row's figures, the mean of both directions."""
    return [statistics.mean(pair) for pair in zip(*(row[2:] for row in table["rows"] if row[1] == name), strict=True)]


def _direction(data: str, direction: str) -> str:
    target = {"libreoffice": "French", "verses": "Spanish"}[data]
    return direction.replace("source", "English").replace("target", target)


def _spread(values: Any, how: str = ".3f") -> str:
    """Mean ± sample standard deviation over the seeds."""
    mean = format(statistics.mean(values := list(values)), how)
    return f"{mean} ± {format(statistics.stdev(values), how)}" if len(values) > 1 else mean


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _said(options: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/bilingual"))
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs at a time")
    given = parser.parse_args()
    for data in COLLECTIONS:
        translations(data)
    for part in given.only:
        trials, table, file = PARTS[part]
        with ThreadPoolExecutor(given.at_once) as pool:
            list(pool.map(lambda trial: run(trial, given.runs), trials(given.seeds)))
        text = table(given.seeds, given.runs)
        if given.seeds == [0, 1, 2]:
            (RESULTS / file).write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
