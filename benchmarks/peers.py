"""Peers that are installed (`make peers`), wrapped to take the same inputs as their counterparts."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

import formulas

Losses = dict[str, Callable[..., Tensor]]
ONE_WAY: Losses = {}
VIEWS: Losses = {}
LABELS: Losses = {}

if find_spec("info_nce"):
    from info_nce import InfoNCE

    ONE_WAY["info-nce-pytorch"] = InfoNCE(temperature=formulas.TAU)

if find_spec("pytorch_metric_learning"):
    from pytorch_metric_learning.losses import NTXentLoss, SupConLoss

    _views, _labels = NTXentLoss(temperature=formulas.TAU_VIEWS), SupConLoss(temperature=formulas.TAU_LABELS)
    VIEWS["pytorch-metric-learning"] = lambda a, b: _views(torch.cat([a, b]), torch.arange(len(a)).repeat(2))
    LABELS["pytorch-metric-learning"] = lambda x, labels: _labels(x, labels)


def can_hold(label: str, n: int) -> bool:
    """Whether a contender can hold n examples: one of them needs the cube of it."""
    return label != "pytorch-metric-learning" or n <= 256
