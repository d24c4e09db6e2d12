"""Sounds that find pictures though the clocks disagree: four losses as the error grows, and clocks that are learned.

    python benchmarks/audiovisual.py                                  everything; results/audiovisual*.md
    python benchmarks/audiovisual.py --sigmas 1 --seeds 0             a part
    python benchmarks/audiovisual.py --things names --seeds 0         names spoken in many languages, σ = 1

The data are those of `audiovisual_data.py`: 3,000 made-up events of real things, fetched into a cache. All losses have
the same network, data, batches, temperature and 24 epochs, which were chosen for weights inside the logarithm at σ = 1
and seed 0. Every loss is told the true σ; where that is 0, it is told 0.1. Of clocks that are ahead by 2 s no loss is
told. The learned clock begins there with an offset of 0 and a σ three times too large. Each training is an ordinary
`tellapart train audiovisual` in its own process. runs/audiovisual keeps them, and complete ones are not repeated. The
seed decides the events, their times and the first weights.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tellapart
from audiovisual_data import events, one_of_each, pairs
from pages import publish
from trainings import as_words, row, spread, took, train_all

HARD, SOFT, MIL, OURS = "hard nearest", 'soft targets ("out")', "MIL-NCE within 2σ", 'inside the logarithm ("in")'
LOSSES = {
    HARD: {"positives": "nearest"},
    SOFT: {"multi_positive": "out"},
    MIL: {"positives": "within"},
    OURS: {},
}
LEARNED = "learned clock"
OFFSET, START = 2.0, 3.0
COMMON = {"epochs": 24, "picture_size": 24, "held_out": 0.02}
NAMES = {"epochs": 96, "trainer.precision": "bf16-mixed"}  # eight times as many things; after 24 epochs R@1 is .02


@dataclass(frozen=True)
class Trial:
    """One training: the loss, the error of the clocks, the seed, how far they are ahead, whether they are learned."""

    loss: str
    sigma: float
    seed: int
    offset: float = 0.0
    learned: bool = False
    things: str = "effects"

    def folder(self, runs: Path) -> Path:
        """Where it is trained."""
        words = "-".join(str(value) for value in LOSSES[self.loss].values()) or "in"
        named = "" if self.things == "effects" else f"{self.things}-"
        return runs / f"{named}{words}-{self.sigma:g}-{self.offset:g}{'-learned' * self.learned}-{self.seed}"

    def command(self, runs: Path) -> list[str]:
        """The arguments of python."""
        told = START if self.learned else max(self.sigma, 0.1)
        options: dict[str, Any] = COMMON | LOSSES[self.loss] | {"sigma": told, "seed": self.seed}
        options |= {"clock": "learned"} if self.learned else {}
        options |= NAMES if self.things == "names" else {}
        data = str(events(self.sigma, self.seed, self.offset, self.things))
        words = ["-m", "tellapart", "train", "audiovisual", "--data", data, "--run", str(self.folder(runs)), "--resume"]
        return [*words, *as_words(options)]

    def recall(self, runs: Path) -> float:
        """R@1 of sounds that look for their pictures, among the things of the test."""
        table = tellapart.load(self.folder(runs)).evaluate(str(one_of_each(self.things)))
        return float(next(line[2] for line in table.rows if line[1] == "trained"))


def off_clock(seeds: list[int]) -> dict[str, list[Trial]]:
    """The trainings on clocks that are ahead by 2 s, of which no loss is told."""
    return {
        f"{HARD}, clocks believed": [Trial(HARD, 1.0, seed, OFFSET) for seed in seeds],
        f"{SOFT}, clocks believed": [Trial(SOFT, 1.0, seed, OFFSET) for seed in seeds],
        f"{OURS}, {LEARNED}": [Trial(OURS, 1.0, seed, OFFSET, learned=True) for seed in seeds],
    }


def names(seeds: list[int]) -> dict[str, list[Trial]]:
    """The trainings on spoken names."""
    return {loss: [Trial(loss, 1.0, seed, things="names") for seed in seeds] for loss in LOSSES}


def names_table(seeds: list[int], runs: Path) -> str:
    """The results on spoken names, as Markdown."""
    n = len(pairs("names"))
    lines = [row(["name → picture", "R@1"]), "|---|---|"]
    for loss, trials in names(seeds).items():
        lines.append(row([loss, spread(trial.recall(runs) for trial in trials)]))
    minutes = spread((took(trial.folder(runs))["minutes"] for those in names(seeds).values() for trial in those), ".1f")
    said = f"{n} things, chance {1 / n:.4f}; {NAMES['epochs']} epochs, {minutes} minutes of one core each."
    return "\n".join([*lines, "", f"{said} Seeds {', '.join(map(str, seeds))}."])


def table(sigmas: list[float], seeds: list[int], runs: Path) -> str:
    """The results of the runs, as Markdown."""
    n = len(pairs())
    lines = [row(["sound → picture, R@1", *(f"σ = {sigma:g}" for sigma in sigmas)]), "|---" * (1 + len(sigmas)) + "|"]
    minutes = []
    for loss in LOSSES:
        cells = []
        for sigma in sigmas:
            trials = [Trial(loss, sigma, seed) for seed in seeds]
            cells.append(spread(trial.recall(runs) for trial in trials))
            minutes += [took(trial.folder(runs))["minutes"] for trial in trials]
        lines.append(row([loss, *cells]))
    lines += ["", f"{n} things, chance {1 / n:.3f}; 24 epochs, {spread(minutes, '.1f')} minutes of one core each."]
    lines[-1] += f" Seeds {', '.join(map(str, seeds))}. Clocks that are ahead by {OFFSET:g} s, with σ = 1:"
    lines += ["", row(["", "R@1", "offset", "σ"]), "|---" * 4 + "|"]
    for name, trials in off_clock(seeds).items():
        found = [spread(trial.recall(runs) for trial in trials), "", ""]
        if trials[0].learned:
            clocks = [tellapart.load(trial.folder(runs)).model.clock for trial in trials]
            found[1:] = [spread(clock.offsets().item() for clock in clocks), spread(clock.sigma for clock in clocks)]
        lines.append(row([name, *found]))
    lines += ["", f"The learned clock begins with an offset of 0 and a σ of {START:g}."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sigmas", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--things", nargs="+", choices=("effects", "names"), default=["effects", "names"])
    parser.add_argument("--runs", type=Path, default=Path("runs/audiovisual"))
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs at a time")
    given = parser.parse_args()
    chosen = []
    for seed in given.seeds:  # seeds outermost, so that the first seed's table is ready early
        if "effects" in given.things:
            chosen += [trial for trials in off_clock([seed]).values() for trial in trials]
            chosen += [Trial(loss, sigma, seed) for sigma in given.sigmas for loss in LOSSES]
        if "names" in given.things:
            chosen += [trial for trials in names([seed]).values() for trial in trials]
    train_all({trial.folder(given.runs): trial.command(given.runs) for trial in chosen}, given.at_once)
    if "effects" in given.things:
        publish("audiovisual", table(given.sigmas, given.seeds, given.runs))
    if "names" in given.things:
        publish("audiovisual_names", names_table(given.seeds, given.runs))


if __name__ == "__main__":
    main()
