"""The parts of a training step's time: data, views, encoder, loss. Written to results/vision_time.md.

    python benchmarks/vision_time.py

Steps as in `vision.py`, of a batch of 256 pictures of Fashion-MNIST; medians over alternating rounds.
The loss is its forward and backward pass. The encoder is all other computation: both networks of MoCo, the projection
head, AdamW. Run it with nothing else on the machine.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import fetch
from formulas import blocks_without_diagonals
from tellapart.domains.pictures import ImageShape, PictureSet, load_pictures
from tellapart.systems import moco, simclr
from vision import OPTIONS
from vision_run import Projected

RESULT = Path(__file__).parent / "results" / "vision_time.md"
PARTS = ("data", "views", "encoder", "loss")
ROUNDS, WARM_UP, QUEUES = 25, 3, (4096, 65536)


class Clock:
    """Adds up the seconds of each part."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Add the time since the last lap to a part."""
        now = time.perf_counter()
        self.seconds[part] += now - self.last
        self.last = now


@dataclass(frozen=True)
class SimCLR:
    """SimCLR's step, by a loss of the model, the batch and the projections."""

    model: simclr.SimCLR
    optimizer: torch.optim.Optimizer
    loss: Callable[[simclr.SimCLR, PictureSet, Tensor], Tensor]

    def step(self, batch: PictureSet, rows: Tensor, clock: Clock) -> None:
        """A step without its data."""
        del rows
        views = torch.cat(self.model.make_views(batch.pictures, 2))
        clock.lap("views")
        with torch.autocast("cpu", torch.bfloat16):
            projections = self.model.network(views)
            clock.lap("encoder")
            leaf = projections.detach().requires_grad_()
            self.loss(self.model, batch, leaf).backward()
        clock.lap("loss")
        follow(projections, leaf, self.optimizer)
        clock.lap("encoder")


@dataclass(frozen=True)
class MoCo:
    """Symmetric MoCo's step."""

    model: moco.MoCo
    optimizer: torch.optim.Optimizer

    def step(self, batch: PictureSet, rows: Tensor, clock: Clock) -> None:
        """A step without its data."""
        views = torch.cat(self.model.make_views(batch.pictures, 2))
        clock.lap("views")
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                queries = moco.Queries(views, self.model.slow(views), rows.repeat(2))
            projections = self.model.network(views)
            clock.lap("encoder")
            leaf = projections.detach().requires_grad_()
            found = moco.candidates(self.model, queries)
            terms = moco.info_nce_terms(
                leaf,
                found.keys,
                positives=found.positives,
                exclude=found.exclude,
                temperature=self.model.temperature,
            )
            terms.loss().backward()
        clock.lap("loss")
        follow(projections, leaf, self.optimizer)
        moco.after_step(self.model, queries, 0.5)
        clock.lap("encoder")


def follow(projections: Tensor, leaf: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """The rest of the backward pass, and the optimizer's step."""
    optimizer.zero_grad()
    projections.backward(leaf.grad)
    optimizer.step()


def ours(model: simclr.SimCLR, batch: PictureSet, projections: Tensor) -> Tensor:
    """The system's loss."""
    return simclr.terms(Projected(projections, model.temperature), batch).loss()  # type: ignore[arg-type]


def formula(model: simclr.SimCLR, batch: PictureSet, projections: Tensor) -> Tensor:
    """The same loss by lightly's formula."""
    del batch
    return blocks_without_diagonals(*projections.chunk(2), model.temperature)


def ways(shape: ImageShape) -> dict[str, SimCLR | MoCo]:
    """The ways to train."""
    options: dict[str, Any] = {name: value for name, value in OPTIONS.items() if "." not in name}

    def adam(model: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(model.network.parameters(), lr=options["learning_rate"])

    made: dict[str, SimCLR | MoCo] = {}
    for name, loss in (("SimCLR", ours), ("SimCLR, lightly's formula", formula)):
        model = simclr.SimCLR(simclr.Config(**options), shape)
        made[name] = SimCLR(model, adam(model), loss)
    for size in QUEUES:
        slow = moco.MoCo(moco.Config(queue=size, **options), shape)
        full = torch.nn.functional.normalize(torch.randn(size, slow.queue.keys.shape[1]))
        slow.queue.push(full, torch.arange(size))
        made[f"symmetric MoCo, queue of {size}"] = MoCo(slow, adam(slow))
    return made


def row(name: str, steps: list[dict[str, float]]) -> str:
    """One way's medians, each with its share of the whole step's."""
    whole = statistics.median(sum(step.values()) for step in steps)
    cells = []
    for part in PARTS:
        seconds = statistics.median(step[part] for step in steps)
        cells.append(f"{1e3 * seconds:.1f} ({seconds / whole:.1%})")
    return f"| {name} | {1e3 * whole:.0f} | " + " | ".join(cells) + " |"


def main() -> None:
    pictures = load_pictures(str(fetch.fetch("fashion-mnist")))
    tried = ways(ImageShape.of(pictures))
    steps: dict[str, list[dict[str, float]]] = {name: [] for name in tried}
    for _ in range(ROUNDS + WARM_UP):
        for name, way in tried.items():
            clock = Clock()
            rows = torch.randperm(len(pictures))[: int(OPTIONS["batch_size"])]
            clock.last = time.perf_counter()
            batch = pictures.rows(rows)
            clock.lap("data")
            way.step(batch, rows, clock)
            steps[name].append(clock.seconds)
    heading = "| a step of 256 pictures, ms | whole | " + " | ".join(PARTS) + " |"
    lines = [heading, "|---" * (len(PARTS) + 2) + "|", *(row(name, done[WARM_UP:]) for name, done in steps.items())]
    text = "\n".join(lines) + f"\n\nMedians of {ROUNDS} rounds, {os.cpu_count()} cores, torch {torch.__version__}.\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
