"""Toy: a system that generates, with nothing to search or to evaluate and no gradient; it draws numbers.

It learns the mean and the spread of the numbers in a file, by their running means, and draws others like them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tellapart.errors import existing, require_option
from tellapart.systems import System
from tellapart.training import Batches, TrainingOptions, begin, fit


@dataclass(frozen=True)
class Config(TrainingOptions):
    """Learn to draw numbers."""

    rate: float = 0.2
    """How far the means move towards those of a batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("rate", 0 < self.rate <= 1, "lie in (0, 1]", self.rate)


class Moments(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))


class Step:
    def __init__(self, config):
        self.model, self.rate = Moments(), config.rate

    def optimizers(self, _):
        return []

    def __call__(self, batch, _):
        model = self.model
        model.mean += self.rate * (batch.mean() - model.mean)
        model.deviation += self.rate * (batch.std() - model.deviation)
        return {"loss": (batch.mean() - model.mean).abs()}


@dataclass(frozen=True)
class Numbers:
    values: list[float]

    def __len__(self):
        return len(self.values)

    def lines(self):
        return [str(value) for value in self.values]

    def save(self, path):
        path.write_text("\n".join(map(str, self.values)) + "\n")


def train(config, run, trainer):
    begin(run, "toy", config, trainer)
    numbers = torch.tensor([float(line) for line in existing(config.data).read_text().split()])
    batches = Batches(len(numbers), config.batch_size, config.epochs, config.seed)
    fit(Step(config), batches, lambda rows: numbers[rows], run, trainer)


def sample(finished, n, seed):
    drawn = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    return Numbers((finished.model.mean + finished.model.deviation * drawn).tolist())


system = System(Config, train, lambda *_: Moments(), own_data="numbers, in a file", sample=sample)


def write_numbers(folder: Path) -> Path:
    """A file of numbers around 5."""
    numbers = 5 + torch.randn(64, generator=torch.Generator().manual_seed(0))
    (folder / "numbers.txt").write_text("\n".join(map(str, numbers.tolist())))
    return folder / "numbers.txt"
