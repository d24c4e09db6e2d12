"""The statistics of batch norms, which no gradient moves: which they are, and how those of several clients are one.

In training a batch norm takes the mean and variance of its batch. The running ones are used afterwards: for the keys of
the bank, and for all that is done with the trained network. There are three ways.

| way | each client's | the server's |
|---|---|---|
| averaged | begin each round as the server's | the mean of the clients', weighted by their examples |
| local | stay with it, and make its keys | the mean of the clients' after the last round |
| recalibrated | are computed anew, by the averaged weights | those of all examples of all clients together |

Sources: averaged: McMahan et al. 2017; local: Andreux et al. 2020 (SiloBN, https://arxiv.org/abs/2008.07424);
recalibrated: Izmailov et al. 2018 (https://arxiv.org/abs/1803.05407), §3.2, for averages of weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

if TYPE_CHECKING:
    from torch import Tensor

STATISTICS = ("averaged", "local", "recalibrated")
_MEAN, _VARIANCE = "running_mean", "running_var"


def names_of(network: nn.Module) -> list[str]:
    """The names, in the state of a network, of the running statistics of its batch norms.

    >>> names_of(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    ['1.running_mean', '1.running_var', '1.num_batches_tracked']
    """
    return [
        f"{place}.{name}" if place else name
        for place, module in network.named_modules()
        if isinstance(module, _BatchNorm)
        for name, _ in module.named_buffers(recurse=False)
    ]


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Compute the statistics anew, as the means over batches; the weights stay as they are."""
    was_training = network.training
    with torch.no_grad():
        update_bn(batches, network)
    network.train(was_training)


def merged(parts: Sequence[dict[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """The statistics of the examples of several clients together.

    `mean = Σ w_c mean_c`, `variance = Σ w_c (variance_c + mean_c²) − mean²`, with weights that sum to 1. They are exact
    for the inputs of the first batch norm, and for those of all others as long as they depend on no batch.

    >>> halves = [{"running_mean": torch.tensor([m]), "running_var": torch.tensor([1.0])} for m in (-1.0, 1.0)]
    >>> {name: value.item() for name, value in merged(halves, [0.5, 0.5]).items()}
    {'running_mean': 0.0, 'running_var': 2.0}
    """

    def mean(of: Sequence[Tensor]) -> Tensor:
        return torch.stack([w * value.double() for w, value in zip(weights, of, strict=True)]).sum(dim=0)

    found = {}
    for name in parts[0]:
        value = mean([part[name] for part in parts])
        if name.endswith(_VARIANCE):
            means = [part[name.removesuffix(_VARIANCE) + _MEAN].double() for part in parts]
            value = value + mean([one.square() for one in means]) - mean(means).square()
        found[name] = value
    return {name: as_of(value, parts[0][name]) for name, value in found.items()}


def as_of(value: Tensor, like: Tensor) -> Tensor:
    """A value in another tensor's number format and place; the mean of counts is rounded."""
    rounded = value if like.is_floating_point() else value.round()
    return rounded.to(like)
