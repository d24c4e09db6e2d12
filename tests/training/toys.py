"""Steps that are unlike the usual one: two optimizers in turn, and none at all. As a script, one trains on devices.

python -m tests.training.toys FOLDER DEVICES
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from tellapart.runs import Run
from tellapart.training import Batches, TrainerOptions, fit

ROWS = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))


@dataclass
class Rows:
    values: torch.Tensor

    def to(self, device):
        return Rows(self.values.to(device))


class Players(nn.Module):
    """Two maps that work against each other, and a buffer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.maker, self.judge = nn.Linear(4, 4), nn.Linear(4, 1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))


class InTurn:
    """The judge tells rows from what the maker makes of them; then the maker is to deceive it."""

    def __init__(self, noise=0.1):
        self.model, self.noise = Players(), noise

    def optimizers(self, n_steps):
        judge = torch.optim.Adam(self.model.judge.parameters(), lr=0.01)
        maker = torch.optim.SGD(self.model.maker.parameters(), lr=0.1, momentum=0.9)
        return [(judge, None), (maker, LambdaLR(maker, lambda step: 1 - step / n_steps))]

    def __call__(self, batch, loop):
        model, rows = self.model, batch.values
        made = model.maker(rows + self.noise * torch.randn_like(rows))
        of_judge = (model.judge(rows) - 1).square().mean() + model.judge(made.detach()).square().mean()
        loop.minimise(of_judge)
        of_maker = (model.judge(made) - 1).square().mean()
        loop.minimise(of_maker, 1)
        with torch.no_grad():
            model.seen += len(rows)
        return {"loss_judge": of_judge.detach(), "loss_maker": of_maker.detach()}


class Means(nn.Module):
    """Vectors that no gradient moves."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("vectors", torch.randn(3, 4))


class ByHand:
    """Each vector moves towards the rows that are nearest to it, and a little at random."""

    def __init__(self):
        self.model = Means()

    def optimizers(self, _):
        return []

    def __call__(self, batch, loop):
        vectors = self.model.vectors
        distance = torch.cdist(batch.values, vectors)
        for row, nearest in zip(batch.values, distance.argmin(dim=1), strict=True):
            vectors[nearest] += 0.1 * (row - vectors[nearest]) + 0.01 * torch.randn(4)
        return {"distance": distance.amin(dim=1).mean(), "share": loop.step / loop.n_steps}


def train(step, folder, before=lambda _: None, epochs=5, batch_size=8, devices=1, checkpoint_every=4, **trainer):
    """Train from the folder's checkpoint, if there is one; `before` is called with the loop before each step."""
    run = Run(Path(folder))
    if not run.exists():
        run.begin("toy", {})
    taught = _Watched(step, before)
    batches = Batches(32, batch_size, epochs, seed=3)
    options = TrainerOptions("cpu", devices, checkpoint_every=checkpoint_every, **trainer)
    fit(taught, batches, lambda rows: Rows(ROWS[rows]), run, options)
    return run


class _Watched:
    def __init__(self, step, before):
        self.step, self.before, self.model, self.optimizers = step, before, step.model, step.optimizers

    def __call__(self, batch, loop):
        self.before(loop)
        return self.step(batch, loop)


if __name__ == "__main__":
    n_devices = int(sys.argv[2])
    train(InTurn(noise=0.0), sys.argv[1], batch_size=8 // n_devices, devices=n_devices)
