"""A judge of pictures: a small network trained on them, by their labels or, without any, by telling views apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tellapart.domains.pictures.convnet import ConvNet
from tellapart.domains.pictures.network import make_views
from tellapart.domains.pictures.options import ImageShape, PictureOptions
from tellapart.objective import nt_xent

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

    from tellapart.domains.pictures.picture_sets import PictureSet

_WIDTH, _DIM, _BATCH, _STEPS, _RATE = 8, 64, 128, 500, 3e-3
_CHUNK = 1000


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained network: features of pictures and, if it was taught labels, the classes that pictures look like."""

    encoder: ConvNet
    head: nn.Linear
    accuracy: float | None
    """Its share of right labels of held-out pictures, if it knows labels."""

    @torch.no_grad()
    def features(self, pictures: UInt8[Tensor, "n c side side"]) -> Float[Tensor, "n d"]:
        """The encoder's features, of any length."""
        return torch.cat([self.encoder(part) for part in pictures.split(_CHUNK)])

    @torch.no_grad()
    def classes(self, pictures: UInt8[Tensor, "n c side side"]) -> Int[Tensor, " n"]:
        """The most probable label of each."""
        found: Tensor = self.head(self.features(pictures)).argmax(dim=1)
        return found


def train_judge(training: PictureSet, test: PictureSet, n_classes: int | None, seed: int) -> Judge:
    """A judge taught with 500 batches of training pictures; the same one for the same pictures and seed.

    Args:
        training: what it learns from.
        test: what its accuracy is of.
        n_classes: how many labels there are; without any, it learns to tell random views of pictures apart.
        seed: for its weights and batches.
    """
    shape = ImageShape.of(training)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        encoder = ConvNet(None, _WIDTH, shape.channels)
        head = nn.Linear(encoder.dim, n_classes or _DIM)
        views = make_views(PictureOptions(), shape)
        weights = [*encoder.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(weights)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
        random = np.random.default_rng(seed)
        for _ in range(_STEPS):
            batch = training.rows(torch.from_numpy(random.integers(len(training), size=_BATCH)))
            if n_classes is None:
                loss = nt_xent(*head(encoder(torch.cat(views(batch.pictures, 2)))).chunk(2))
            else:
                assert batch.labels is not None
                loss = nn.functional.cross_entropy(head(encoder(batch.pictures)), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    judge = Judge(encoder.eval(), head, None)
    if n_classes is None:
        return judge
    assert test.labels is not None
    return Judge(encoder, head, float((judge.classes(test.pictures) == test.labels).float().mean()))
