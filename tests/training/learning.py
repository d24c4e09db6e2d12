"""Vectors that learn by InfoNCE, with rows held out, for tests of a training's course. As a script, on devices.

python -m tests.training.learning FOLDER DEVICES
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tellapart import info_nce_terms
from tellapart.distributed import world
from tellapart.runs import Run
from tellapart.training import Batches, TermsStep, TrainerOptions, TrainingOptions, fit
from tests.training.toys import Rows

SEEN, UNSEEN = torch.randn(36, 6, generator=torch.Generator().manual_seed(1)).split([24, 12])
BATCH, NOISE, TEMPERATURE = 8, 0.3, 0.2


class Net(nn.Module):
    """A map with dropout and a batch norm, which do something else in training; `exact`, without both."""

    def __init__(self, *, exact: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        between = [nn.Tanh()] if exact else [nn.BatchNorm1d(12), nn.Dropout(0.2)]
        self.layers = nn.Sequential(nn.Linear(6, 12), *between, nn.Linear(12, 4))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.layers(rows), dim=1)


def terms(model, batch, noise=NOISE):
    """A noisy row finds its row."""
    seen = batch.values + noise * torch.randn_like(batch.values)
    return info_nce_terms(model(seen), model(batch.values), temperature=TEMPERATURE, group=world())


def exact_terms(model, batch):
    """A row finds itself, shifted."""
    return info_nce_terms(model(batch.values + 0.3), model(batch.values), temperature=TEMPERATURE, group=world())


def learn(folder: Path, *, devices: int = 1, epochs: int = 5, rate: float = 0.05, exact: bool = False, **trainer: Any):
    """Train in the folder, from its checkpoint if it has one: three steps an epoch, 15 by default."""
    run, how = Run(Path(folder)), TrainerOptions("cpu", devices, **{"checkpoint_every": 4, **trainer})
    if not run.exists():
        run.begin("toy", {"learning_rate": rate, "trainer": {"logger": how.logger}})
    options = TrainingOptions(data="", learning_rate=rate)
    step = TermsStep(Net(exact=exact), exact_terms if exact else terms, options)
    batches = Batches(len(SEEN), BATCH // devices, epochs, seed=3)
    held_out = step.held_out(len(UNSEEN), lambda rows: Rows(UNSEEN[rows]))
    fit(step, batches, lambda rows: Rows(SEEN[rows]), run, how, held_out)
    return step.model


if __name__ == "__main__":
    learn(Path(sys.argv[1]), devices=int(sys.argv[2]), epochs=2, exact=True, validate_every=2)
