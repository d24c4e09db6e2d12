"""How much of a large data set an evaluation takes, to stay near 1 GiB of memory and some minutes of one core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

MOST_ASKED = 10_000
"""Items that a measure is of."""
_MOST_KNOWN = 60_000
_NUMBERS = 2**25  # of embeddings with known labels: 128 MiB, and twice that where they are float64
_LEAST_OF_A_CLASS = 5
_PROBE = 2**36  # products of a probe, which does some 2³¹ to 2³² a second
_K_MEANS = 2**30  # products of one iteration of all starts
STARTS = 10
"""Starts of k-means, where they are not too many."""
_LEAST_STEPS, _MOST_STEPS = 50, 1000


def most_known(width: int, n_classes: int) -> int:
    """The number of items with known labels: 60,000, or fewer where embeddings are wide or classes are many.

    So many take 2²⁵ numbers at most, and leave a probe 100 steps or more, but for 5 of each class.

    >>> most_known(width=192, n_classes=10), most_known(width=2048, n_classes=10), most_known(width=512, n_classes=1000)
    (60000, 16384, 5000)
    """
    for_probe = _PROBE // (100 * width * n_classes)
    return min(_MOST_KNOWN, max(2, _NUMBERS // width), max(for_probe, _LEAST_OF_A_CLASS * n_classes))


def probe_steps(n_known: int, width: int, n_classes: int) -> int:
    """The steps of L-BFGS that a linear probe may take: 1,000, or fewer, but at least 50.

    >>> probe_steps(60_000, 192, 10), probe_steps(60_000, 784, 10)
    (596, 146)
    """
    return min(_MOST_STEPS, max(_LEAST_STEPS, _PROBE // (n_known * width * n_classes)))


def k_means_starts(n: int, width: int, n_classes: int) -> int:
    """The starts of k-means, of which the best counts: 10, or fewer, but at least one.

    >>> k_means_starts(10_000, 784, 10), k_means_starts(10_000, 512, 100)
    (10, 2)
    """
    return min(STARTS, max(1, _K_MEANS // (n * width * n_classes)))


def sampled(n: int, most: int, seed: int) -> Int[Tensor, " k"]:
    """Rows in ascending order: all, or `most` of them at random.

    >>> sampled(3, 5, seed=0).tolist(), len(sampled(9, 5, seed=0))
    ([0, 1, 2], 5)
    """
    return torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(n)[:most]))
