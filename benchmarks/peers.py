"""Peers that are installed (`make peers`), wrapped to take the same inputs as their counterparts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import formulas

Losses = dict[str, Callable[..., Tensor]]
ONE_WAY: Losses = {}
VIEWS: Losses = {}
LABELS: Losses = {}

try:
    from info_nce import InfoNCE

    ONE_WAY["info-nce-pytorch"] = InfoNCE(temperature=formulas.TAU)
except ImportError:
    pass

try:
    from pytorch_metric_learning.losses import NTXentLoss, SupConLoss

    _views, _labels = NTXentLoss(temperature=formulas.TAU_VIEWS), SupConLoss(temperature=formulas.TAU_LABELS)
    VIEWS["pytorch-metric-learning"] = lambda a, b: _views(torch.cat([a, b]), torch.arange(len(a)).repeat(2))
    LABELS["pytorch-metric-learning"] = lambda x, labels: _labels(x, labels)
except ImportError:
    pass


def can_hold(label: str, n: int) -> bool:
    """Whether a contender can hold n examples: one of them needs the cube of it."""
    return label != "pytorch-metric-learning" or n <= 256
