"""A linear probe with few known labels, over many random splits."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.errors import check_embeddings, requirement
from tellapart.evaluation.labels import integer_labels
from tellapart.evaluation.probe import linear_probe

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.evaluation.labels import Labels

STRENGTHS = (1.0, 0.1, 0.01, 0.001)
SPARSE_STRENGTHS = (1000.0, 100.0, 10.0, 1.0, 0.1)
"""For sparse embeddings, which are not standardised: their columns are small, so the weights have to be large."""
_CHOOSING = 3
_MAX_STEPS = 300


@dataclass(frozen=True)
class Splits:
    """The accuracy of each split's linear probe on its test part, in [0, 1], and their common C."""

    accuracies: list[float]
    regularisation: float

    def mean(self) -> float:
        """The mean accuracy."""
        return statistics.mean(self.accuracies)

    def deviation(self) -> float:
        """The sample standard deviation of the accuracies; 0 for a single one."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


def probe_over_splits(
    embeddings: Float[Tensor, "n d"], labels: Labels, *, n_splits: int = 20, share: float = 0.1, seed: int = 0
) -> Splits:
    """Split at random into training, validation and test parts, and test a linear probe on each split.

    The first two parts are each a `share` of all, and at least one. All splits use the same C, of `STRENGTHS` or
    `SPARSE_STRENGTHS`: the one with the best validation accuracy over the first 3 splits, and the largest of ties.
    Dense embeddings are standardised, sparse ones are not.

    Args:
        embeddings: `(n, d)`, `n ≥ 4`, dense or sparse with coordinates (COO).
        labels: any integers, one per embedding.
        n_splits: the number of splits.
        share: the share of labels that a probe knows, in (0, 0.5).
        seed: for the splits; use the same for all models to compare.

    Raises:
        TypeError: embeddings that are not floating-point, labels that are not integers.
        ValueError: fewer than 4 embeddings, embeddings that are not finite, not one label per embedding, labels all
            the same, no split, a share out of range.

    Source: Zhu et al. 2020 (GRACE), §4.2, for shares of 10 %, 10 % and 80 %.

    >>> groups = torch.eye(2).repeat_interleave(20, dim=0)
    >>> probe_over_splits(groups, [0] * 20 + [1] * 20, n_splits=3).accuracies
    [1.0, 1.0, 1.0]
    """
    check_embeddings("embeddings", embeddings)
    numbers = integer_labels("labels", labels, n := len(embeddings), n_classes=2).cpu()
    if n < 4:
        raise ValueError(requirement("embeddings", "be at least 4, for three parts", n))
    if n_splits < 1:
        raise ValueError(requirement("n_splits", "be at least 1", n_splits))
    if not 0 < share < 0.5:
        raise ValueError(requirement("share", "lie between 0 and 0.5", share))
    parts = [_split(n, max(1, round(share * n)), [seed, split]) for split in range(n_splits)]

    def validated(strength: float) -> float:
        return sum(_accuracy(embeddings, numbers, train, valid, strength) for train, valid, _ in parts[:_CHOOSING])

    best = max(SPARSE_STRENGTHS if embeddings.is_sparse else STRENGTHS, key=validated)
    return Splits([_accuracy(embeddings, numbers, train, test, best) for train, _, test in parts], best)


def _split(n: int, size: int, seed: list[int]) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"], Int[Tensor, " t"]]:
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    return order[:size], order[size : 2 * size], order[2 * size :]


def _accuracy(
    embeddings: Tensor, labels: Tensor, train: Int[Tensor, " k"], test: Int[Tensor, " t"], strength: float
) -> float:
    """The accuracy on `test` of a probe that knows the labels of `train`."""
    known = labels[train]
    if bool((known == known[0]).all()):  # one class, so there is nothing to fit
        predicted = known[:1]
    else:
        fitted, queries = (embeddings.index_select(0, rows.to(embeddings.device)) for rows in (train, test))
        predicted = linear_probe(fitted, known, queries, regularisation=strength, max_steps=_MAX_STEPS).labels.cpu()
    return (predicted == labels[test]).double().mean().item()
