"""Does the contrastive gradient fight the supervised one? Fashion-MNIST with few labels, by every rule, with a control.

    python benchmarks/harmony.py                        everything; results/harmony*.md
    python benchmarks/harmony.py --only few --seeds 0

`few`: 10 labels a class. `turned`: every picture is turned by some quarters of a circle, and these are its label. Views
that turn, too, teach the encoder to ignore what the labels ask for: a true conflict. Upright views are the control.
`weights`: the same at larger weights of the contrastive loss. The rules and the control are compared at the weight that
costs the sum most, against the supervised loss alone. `no_head`: the contrastive loss compares features, without a
projection head in between; `no_head_lighter`: at half that weight. `many`: 100 labels a class.

The pictures are fetched from Debian's package dataset-fashion-mnist (MIT) into a cache.
Each run is an ordinary `tellapart train` on one core, but only the trained network is measured, the gallery has the
held-out pictures only, and there is no report. runs/harmony keeps the runs, and complete ones are not repeated.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fetch
from pages import publish
from tellapart.domains.pictures import load_splits
from tellapart.runs import Run
from trainings import as_words, results, row, spread, train_all

OPTIONS: dict[str, Any] = {
    "width": 8,
    "epochs": 1,
    "batch_size": 100,
    "crop": 0.4,
    "learning_rate": 3e-3,
    "trainer.precision": "bf16-mixed",
    "trainer.checkpoint_every": 300,
}
SUPERVISED = {"weight": 0}
RULES = ("sum", "pcgrad", "gate", "upgrad")
NAMES = {"sum": "sum", "pcgrad": "PCGrad", "gate": "gate", "upgrad": "UPGrad"}
# Mirror images swap two of the quarter turns. Of four turns, one in four leaves a picture as it is.
TURNED, TURNING = {"labels_per_class": 25, "flip": 0}, {"turn": 0.75}
NO_HEAD = TURNED | {"weight": 2, "dim": 0}


@dataclass(frozen=True)
class Trial:
    """One kind of training: a line of the table."""

    part: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def folder(self, runs: Path, seed: int) -> Path:
        """Where its run of a seed is kept."""
        return runs / f"{self.part}-{re.sub(r'[^A-Za-z0-9.]+', '-', self.name)}-{seed}"

    def command(self, runs: Path, seed: int) -> list[str]:
        """`harmony_run.py`, and its arguments."""
        data = turned(runs) if self.part == "turned" else fetch.fetch("fashion-mnist")
        words = ["train", "harmony", "--data", str(data), "--run", str(self.folder(runs, seed)), "--resume"]
        own = OPTIONS | {"seed": seed} | dict(self.options)
        return [str(Path(__file__).with_name("harmony_run.py")), *words, *as_words(own)]


def _by_rules(part: str, before: str, options: Mapping[str, Any], rules: Sequence[str] = RULES) -> list[Trial]:
    return [Trial(part, before + NAMES[rule], {**options, "rule": rule}) for rule in rules]


def _turning(weight: float, *rules: str) -> list[Trial]:
    """Labels and views are quarter turns; the contrastive loss has another weight than the default."""
    return _by_rules("turned", f"views that turn, weight {weight}: ", TURNED | TURNING | {"weight": weight}, rules)


PARTS = {
    "few": [
        Trial("few", "supervised alone", SUPERVISED),
        *_by_rules("few", "", {}),
        Trial("few", "contrastive first, then fine-tuned", {"contrastive_first": 0.5}),
    ],
    "turned": [
        Trial("turned", "supervised alone", TURNED | SUPERVISED),
        *_by_rules("turned", "views that turn: ", TURNED | TURNING),
        *_by_rules("turned", "upright views: ", TURNED, RULES[:3]),
    ],
    "weights": [
        Trial("turned", "supervised alone", TURNED | SUPERVISED),
        *_turning(0.5, "sum"),
        *_turning(1, "sum"),
        *_turning(2, "sum"),
        *_turning(5, "sum", "pcgrad", "gate"),
        *_by_rules("turned", "upright views, weight 5: ", TURNED | {"weight": 5}, ("sum",)),
    ],
    "no_head": [
        Trial("turned", "supervised alone", TURNED | SUPERVISED),
        *_by_rules("turned", "no head, views that turn, weight 2: ", NO_HEAD | TURNING),
        *_by_rules("turned", "no head, upright views, weight 2: ", NO_HEAD, ("sum",)),
    ],
    "no_head_lighter": [
        Trial("turned", "supervised alone", TURNED | SUPERVISED),
        *_by_rules("turned", "no head, views that turn, weight 1: ", NO_HEAD | TURNING | {"weight": 1}),
        *_by_rules("turned", "no head, upright views, weight 1: ", NO_HEAD | {"weight": 1}, ("sum",)),
    ],
    "many": [
        Trial("many", "supervised alone", {"labels_per_class": 100} | SUPERVISED),
        *_by_rules("many", "", {"labels_per_class": 100}, RULES[:3]),
    ],
}
QUARTERS = "quarter turns, 25 labels of each"
TITLES = dict.fromkeys(PARTS, QUARTERS) | {"few": "10 labels a class", "many": "100 labels a class"}


def turned(runs: Path) -> Path:
    """Fashion-MNIST with each picture turned by a random number of quarters, its label."""
    target = runs / "turned.npz"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        arrays = {}
        random = np.random.default_rng(0)
        for name, part in zip(("train", "test"), load_splits(str(fetch.fetch("fashion-mnist"))), strict=True):
            assert part is not None
            quarters = random.integers(0, 4, len(part))
            made = torch.stack([part.pictures.rot90(k, (2, 3)) for k in range(4)])
            arrays[f"x_{name}"] = made[torch.from_numpy(quarters), torch.arange(len(part)), 0].numpy()
            arrays[f"y_{name}"] = quarters
        partial = target.with_name("partial.npz")
        np.savez(partial, **arrays)
        partial.rename(target)
    return target


def table(part: str, runs: Path, seeds: list[int]) -> str:
    """Accuracy, probe and conflict of each kind of training: mean ± deviation over the seeds."""
    header = [TITLES[part], "accuracy", "linear probe", "conflict rate", "mean cosine", "ratio of lengths"]
    lines = [row(header), "|---" * len(header) + "|"]
    for trial in PARTS[part]:
        folders = [trial.folder(runs, seed) for seed in seeds]
        trained = [results(folder)["rows"][-1] for folder in folders]
        cells = [spread(values[column] for values in trained) for column in (1, 2)]
        for name in ("gradient_conflict", "gradient_cosine", "gradient_ratio"):
            logs = [[entry[name] for entry in Run(folder).log() if name in entry] for folder in folders]
            cells.append(spread((float(np.mean(log)) for log in logs), ".2f") if all(logs) else "")
        lines.append(row([trial.name, *cells]))
    options = ", ".join(f"{name} {value}" for name, value in OPTIONS.items() if name != "trainer.checkpoint_every")
    n_steps = len(Run(PARTS[part][0].folder(runs, seeds[0])).log())
    named = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    lines.append(f"\nOn 10000 held-out pictures. {n_steps} steps; {named}; {options}.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/harmony"))
    parser.add_argument("--at-once", type=int, default=1, help="runs at a time")
    given = parser.parse_args()
    for part in given.only:
        trials = [(trial, seed) for seed in given.seeds for trial in PARTS[part]]
        commands = {trial.folder(given.runs, seed): trial.command(given.runs, seed) for trial, seed in trials}
        train_all(commands, given.at_once)
        publish("harmony" if part == "few" else f"harmony_{part}", table(part, given.runs, given.seeds))


if __name__ == "__main__":
    main()
