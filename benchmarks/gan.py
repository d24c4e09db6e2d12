"""Modes of a grid of Gaussians, and Fashion-MNIST: pairing games with a gradient penalty against other GANs.

    python benchmarks/gan.py                        everything; results/gan*.md, and the page's tables
    python benchmarks/gan.py --only grid --seeds 0

`grid` and `ring`: PacGAN's 25 and 8 Gaussians, 10,000 steps of 250 points, judged by 2,500 points. `long`: the grid,
with 30,000 steps and a falling γ. `fashion`: 800 steps of 75 pictures, with the step size at which the binary game
does best, of four; two games also have twice as many steps. `rates`: the same with all four step sizes.
The pictures are fetched from Debian's package dataset-fashion-mnist (MIT) into a cache.
All ways have the same networks, optimizers and batches (`gan_run.py`). Each training is an ordinary `tellapart train`
on one core. runs/gan keeps them, and complete ones are not repeated.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import fetch
from pages import publish
from trainings import as_words, minutes_of_steps, results, row, spread, train_all

NO_PENALTY = {"penalty": 0, "penalty_end": 0}
RARE = {"penalty_every": 4}
LITERAL = {"compared": "embeddings", "generator": "minimax", **NO_PENALTY}
OPTIONS: dict[str, dict[str, Any]] = {
    "grid": {"data": "grid-25"},
    "ring": {"data": "ring-8"},
    "long": {"data": "grid-25", "epochs": 75},
    "fashion": {"batch_size": 75, "epochs": 1, "learning_rate": 0.008},
}
RATES = (0.004, 0.008, 0.012, 0.016)


@dataclass(frozen=True)
class Way:
    """One kind of training: a line of the table."""

    name: str
    game: str = "pairing"
    options: dict[str, Any] = field(default_factory=dict)

    def but(self, what: str, options: dict[str, Any]) -> Way:
        """The same way with other options."""
        return Way(f"{self.name}, {what}", self.game, self.options | options)

    def at_rates(self) -> list[Way]:
        """The same way with each step size."""
        usual = OPTIONS["fashion"]["learning_rate"]
        return [self if rate == usual else self.but(f"step size {rate}", {"learning_rate": rate}) for rate in RATES]

    def folder(self, runs: Path, part: str, seed: int) -> Path:
        """Where its run of a seed is kept."""
        return runs / f"{part}-{re.sub(r'[^A-Za-z0-9]+', '-', self.name)}-{seed}"

    def command(self, runs: Path, part: str, seed: int) -> list[str]:
        """`gan_run.py`, and its arguments."""
        own = {"data": fetch.fetch("fashion-mnist")} if part == "fashion" else {}
        options = own | OPTIONS[part] | {"trainer.checkpoint_every": 1000, "seed": seed} | self.options
        words = ["train", "gan", "--run", str(self.folder(runs, part, seed)), "--resume", *as_words(options)]
        return [str(Path(__file__).with_name("gan_run.py")), self.game, *words]


PLAIN = [
    Way("binary", "binary", NO_PENALTY),
    Way("PacGAN4", "pacgan", NO_PENALTY),
    Way("hinge", "hinge", NO_PENALTY),
    Way("binary + penalty", "binary"),
]
OURS = [Way("**pairing, K = 1**"), Way("**pairing, K = B**", options={"negatives": 0})]
RARELY = [
    Way("binary + penalty at each fourth step", "binary", RARE),
    Way("**pairing, K = 1**, penalty at each fourth", options=RARE),
    Way("**pairing, K = B**, penalty at each fourth", options=RARE | {"negatives": 0}),
]
UNCHECKED = Way("pairing, K = B, no penalty", options=NO_PENALTY | {"negatives": 0})
LONGER = [way.but("twice the steps", {"epochs": 2}) for way in (PLAIN[0], RARELY[2])]
WITH_RATES = [PLAIN[0], RARELY[0], RARELY[2], *LONGER]
LITERALLY = Way("embeddings, literal minimax", options=LITERAL)
PARTS = {
    "grid": [*PLAIN, *OURS, LITERALLY],
    "ring": [
        PLAIN[0],
        OURS[0],
        Way("pairing, K = 1, no penalty", options=NO_PENALTY),
        Way("embeddings, roles exchanged", options={"compared": "embeddings"}),
        LITERALLY,
    ],
    "long": [Way("**pairing, K = 1, γ falling**", options={"penalty_end": 0.001})],
    "fashion": [PLAIN[0], UNCHECKED, *RARELY, *LONGER],
    "rates": [*chain(*(way.at_rates() for way in WITH_RATES))],
}


def table(part: str, runs: Path, seeds: list[int]) -> str:
    """The figures of each way, over seeds."""
    folders = {way.name: [way.folder(runs, part, seed) for seed in seeds] for way in PARTS[part]}
    first = results(next(iter(folders.values()))[0])
    lines = [row(["", *first["header"][1:], "minutes"]), row(["---"] * (len(first["header"]) + 1))]
    floor = next(figures for figures in first["rows"] if figures[0].startswith("real"))
    lines.append(row([floor[0], *map(format, floor[1:], first["formats"][1:]), "–"]))
    for name, trained in folders.items():
        found = [results(folder)["rows"][-1][1:] for folder in trained]
        formats = [how.replace(".0f", ".1f") for how in first["formats"][1:]]
        cells = [spread(column, how) for column, how in zip(zip(*found, strict=True), formats, strict=True)]
        minutes = (minutes_of_steps(folder, RARE["penalty_every"]) for folder in trained)
        lines.append(row([name, *cells, spread(minutes, ".2f")]))
    return "\n".join([*lines, "", f"Seeds: {', '.join(map(str, seeds))}. Minutes of one core, as busy as it was."])


def table_of_rates(runs: Path, seeds: list[int]) -> str:
    """The Fréchet distance of each way with each step size, over seeds."""
    lines = [row(["Fréchet distance", *(f"step size {rate}" for rate in RATES)]), "|---" * (1 + len(RATES)) + "|"]
    for way in WITH_RATES:
        trained = [[one.folder(runs, "fashion", seed) for seed in seeds] for one in way.at_rates()]
        found = [[results(folder)["rows"][-1][1] for folder in folders] for folders in trained]
        lines.append(row([way.name, *(spread(column, ".2f") for column in found)]))
    return "\n".join([*lines, "", f"Seeds: {', '.join(map(str, seeds))}."])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(PARTS), nargs="+", default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/gan"), help="where trainings are kept")
    given = parser.parse_args()
    for part in given.only:
        kind = "fashion" if part == "rates" else part
        commands = {
            way.folder(given.runs, kind, seed): way.command(given.runs, kind, seed)
            for seed in given.seeds
            for way in PARTS[part]
        }
        train_all(commands, at_once=1)
        made = table_of_rates(given.runs, given.seeds) if part == "rates" else table(part, given.runs, given.seeds)
        publish("gan" if part == "grid" else f"gan_{part}", made)
