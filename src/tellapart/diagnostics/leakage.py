"""Whether an embedding reveals the batch in which it was encoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tellapart.distributed import gather, world
from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped


class Leakage(NamedTuple):
    """How much embeddings depend on the rest of their batch, and how well they predict their group."""

    moved: float
    """The mean of `‖e − e′‖ / ‖e‖` over examples encoded in another group; 0 if each is encoded independently."""
    named: float
    """The accuracy of a linear probe that predicts the group, on examples it was not fitted to."""
    chance: float
    """The share of the largest group: the accuracy without embeddings."""


@torch.no_grad()
def batch_leakage(
    encoder: Callable[[Tensor], Float[Tensor, "n d"]],
    batch: Shaped[Tensor, "n *shape"],
    groups: Int[Tensor, " n"],
    *,
    repeats: int = 4,
    seed: int = 0,
) -> Leakage:
    """Whether an encoder's embeddings reveal which examples were encoded together.

    Batch norm per device does that. A query and its positive share a batch, but the negatives on other devices do
    not, and a model can learn to find the positive by that. Here each group is encoded separately, as one device
    would. Then all examples are shuffled into groups of the same sizes, `repeats` times. With several processes, all
    call this with the same arguments, and each encodes the group of its rank.

    Args:
        encoder: in training mode (`encoder.train()`), without dropout, which changes embeddings by itself; a
            module's buffers change as in training.
        batch: the examples of all groups.
        groups: the group, or device, of each example.
        repeats: how often examples are shuffled.
        seed: for shuffling and for the probe's folds.

    Raises:
        ValueError: fewer than two groups, a group of fewer than two examples, not one group per example or process.

    Source: He et al. 2020 (MoCo), §3.3, "shuffling BN".

    >>> x, groups = torch.randn(40, 3), torch.arange(40) % 2
    >>> batch_leakage(lambda part: part.relu(), x, groups).moved
    0.0
    """
    if groups.shape != batch.shape[:1]:
        raise ValueError(requirement("groups", f"have one entry per example, ({len(batch)},)", tuple(groups.shape)))
    sizes = groups.unique(return_counts=True)[1]
    if len(sizes) < 2 or int(sizes.min()) < 2:
        raise ValueError(requirement("groups", "be at least 2, of at least 2 examples each", sizes.tolist()))
    if (processes := world()) is not None and len(sizes) != processes.size():
        raise ValueError(requirement("groups", "be as many as there are processes", len(sizes)))
    generator = torch.Generator().manual_seed(seed)
    first = _encoded(encoder, batch, groups)
    moved = []
    for _ in range(repeats):
        shuffled = groups[torch.randperm(len(groups), generator=generator).to(groups.device)]
        again = _encoded(encoder, batch, shuffled)
        moved.append(((again - first).norm(dim=1) / first.norm(dim=1).clamp(min=torch.finfo(first.dtype).tiny)).mean())
    chance = float(sizes.max()) / len(groups)
    return Leakage(float(torch.stack(moved).mean()), _named(first, groups, seed), chance)


def _encoded(encoder: Callable[[Tensor], Tensor], batch: Tensor, groups: Tensor) -> Float[Tensor, "n d"]:
    """The embeddings of all examples; each group is encoded separately, or by its own process."""
    places = [(groups == group).nonzero()[:, 0] for group in groups.unique()]
    if (processes := world()) is None:
        embedded = torch.cat([encoder(batch[here]) for here in places])
    else:
        embedded = gather(encoder(batch[places[processes.rank()]]))
    return embedded.float()[torch.cat(places).argsort()]


def _named(embeddings: Tensor, groups: Tensor, seed: int) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(min(5, int(groups.unique(return_counts=True)[1].min())), shuffle=True, random_state=seed)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    scores = cross_val_score(probe, embeddings.cpu().numpy(), groups.cpu().numpy(), cv=folds)
    return float(np.mean(scores))
