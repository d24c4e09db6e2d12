"""A judge of pictures: a small network trained on them, by their labels or, without any, by telling views apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tellapart.domains.pictures.convnet import ConvNet
from tellapart.domains.pictures.network import make_views
from tellapart.domains.pictures.options import ImageShape, PictureOptions
from tellapart.objective import nt_xent

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.domains.pictures.picture_sets import PictureSet
    from tellapart.runs import PictureRows

_WIDTH, _DIM, _BATCH, _STEPS, _RATE = 8, 64, 128, 500, 3e-3
_CHUNK = 1000


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained network: features of pictures and, if it was taught labels, those that pictures look like."""

    encoder: ConvNet
    head: nn.Linear
    n_classes: int | None
    """How many labels it knows, if it was taught any."""
    accuracy: float | None
    """Its share of right labels of held-out pictures, if it was taught any."""

    @torch.no_grad()
    def features(self, pictures: PictureRows) -> Float[Tensor, "n d"]:
        """The encoder's features, of any length."""
        return torch.cat([self.encoder(part) for part in pictures.split(_CHUNK)])

    @torch.no_grad()
    def classes(self, pictures: PictureRows) -> Int[Tensor, " n"]:
        """The number of each picture's most probable label, in the order of labels."""
        found: Tensor = self.head(self.features(pictures)).argmax(dim=1)
        return found


def train_judge(training: PictureSet, test: PictureSet, seed: int) -> Judge:
    """A judge taught with 500 batches of training pictures; the same one for the same pictures and seed.

    Args:
        training: what it learns from: the labels or, if one of the two sets has none, to tell views of pictures apart.
        test: what its accuracy is of.
        seed: for its weights and batches.
    """
    numbered = _numbered(training, test)
    shape, n_classes = ImageShape.of(training), None if numbered is None else int(torch.cat(numbered).max()) + 1
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        encoder = ConvNet(None, _WIDTH, shape.channels)
        head = nn.Linear(encoder.dim, n_classes or _DIM)
        views, random = make_views(PictureOptions(), shape), np.random.default_rng(seed)
        optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()])
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
        for _ in range(_STEPS):
            rows = torch.from_numpy(random.integers(len(training), size=_BATCH))
            pictures = training.content[rows]
            if numbered is None:
                loss = nt_xent(*head(encoder(torch.cat(views(pictures, 2)))).chunk(2))
            else:
                loss = nn.functional.cross_entropy(head(encoder(pictures)), numbered[0][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    judge = Judge(encoder.eval(), head, n_classes, None)
    if numbered is None:
        return judge
    return replace(judge, accuracy=float((judge.classes(test.content) == numbered[1]).float().mean()))


def _numbered(training: PictureSet, test: PictureSet) -> tuple[Int[Tensor, " n"], Int[Tensor, " m"]] | None:
    """The labels of both sets, numbered from 0; none if a set has none."""
    if training.labels is None or test.labels is None:
        return None
    _, numbers = torch.cat([training.labels, test.labels]).unique(return_inverse=True)
    return numbers[: len(training)], numbers[len(training) :]
