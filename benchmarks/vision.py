"""SimCLR and MoCo on Fashion-MNIST, without labels, against raw pixels, an untrained encoder and a peer's formula.

    python benchmarks/vision.py                          everything, some hours; results/vision*.md and vision.png
    python benchmarks/vision.py --only systems --seeds 0

`systems`: SimCLR and MoCo, trained for equal times. `compared`, shorter: the same training by lightly's formula for the
loss, and symmetric MoCo that ignores ids of keys. `sizes`, as short: other sizes of batch and queue. The pictures are
fetched from Debian's package dataset-fashion-mnist (MIT) into a cache. Each run is an ordinary `tellapart train`.
runs/vision keeps the runs, and complete ones are not repeated. Runs are parallel, each on one core. Labels are used
only in evaluation: those of the training pictures predict those of the test pictures. `vision_time.py` measures the
parts of a step's time.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import fetch
import trainings
import vision_tables

OPTIONS = {
    "batch_size": 256,
    "width": 16,
    "crop": 0.15,
    "jitter": 1.0,
    "temperature": 0.1,
    "learning_rate": 2e-3,
    "trainer.precision": "bf16-mixed",
}
# MoCo's steps take longer, since every view goes through two networks.
LONG = {"simclr": {"epochs": 10, "width": 24}, "moco": {"epochs": 8, "width": 24}}
SHORT = 3
BATCHES, QUEUES = (64, 128, 512), (512, 16384, 65536)
_LIKE = 256


@dataclass(frozen=True)
class Trial:
    """One training: its folder's name, the system, and what differs from the other trainings."""

    name: str
    system: str
    seed: int
    change: str = "lean"
    options: Mapping[str, float] = field(default_factory=dict)

    def command(self, folder: Path) -> list[str]:
        """`vision_run.py`, and its arguments."""
        options = OPTIONS | {"epochs": SHORT, "seed": self.seed} | dict(self.options)
        words = [self.change, "train", self.system, "--data", str(fetch.fetch("fashion-mnist"))]
        words += ["--run", str(folder / self.name), "--resume"]
        return [str(Path(__file__).with_name("vision_run.py")), *words, *trainings.as_words(options)]


def systems(seeds: list[int]) -> list[Trial]:
    """The long runs; the first also measures the baselines, which need no training."""
    kinds = [(name, seed) for name in LONG for seed in seeds]
    changes = ["nothing"] + ["lean"] * (len(kinds) - 1)
    return [
        Trial(f"{name}-{seed}", name, seed, change, LONG[name])
        for (name, seed), change in zip(kinds, changes, strict=True)
    ]


def compared(seeds: list[int]) -> list[Trial]:
    """Pairs of short runs that differ in one thing."""
    kinds = (("simclr", "lean"), ("simclr", "formula"), ("moco", "lean"), ("moco", "no-ids"))
    return [
        Trial(f"short-{system}-{change}-{seed}", system, seed, change) for system, change in kinds for seed in seeds
    ]


def sizes(seeds: list[int]) -> list[Trial]:
    """Short runs of other batches and queues; the usual ones are among `compared`."""
    batches = [
        # The learning rate grows with the square root, as is usual with Adam.
        Trial(f"batch-{n}-{seed}", "simclr", seed, "lean", {"batch_size": n, "learning_rate": rate_of_batch(n)})
        for n in BATCHES
        for seed in seeds
    ]
    return batches + [Trial(f"queue-{n}-{seed}", "moco", seed, "lean", {"queue": n}) for n in QUEUES for seed in seeds]


def rate_of_batch(size: int) -> float:
    """The learning rate of batches of another size."""
    return OPTIONS["learning_rate"] * (size / _LIKE) ** 0.5  # type: ignore[operator]


PARTS = {"systems": systems, "compared": compared, "sizes": sizes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/vision"))
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs at a time")
    given = parser.parse_args()
    trials = {part: PARTS[part](given.seeds if part != "sizes" else given.seeds[:1]) for part in given.only}
    commands = {given.runs / trial.name: trial.command(given.runs) for part in trials.values() for trial in part}
    trainings.train_all(commands, given.at_once)
    for part in given.only:
        vision_tables.write(part, given.runs, given.seeds)


if __name__ == "__main__":
    main()
