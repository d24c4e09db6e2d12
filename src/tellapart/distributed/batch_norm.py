"""Batch norm over the batches of all processes, so that no embedding reveals the process that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.distributed.gather import sum_over, world
from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """`nn.BatchNorm1d`, `2d` or `3d` over the batches of all processes, by all-reduce, on any device.

    `y = (x − μ) / √(σ² + ε) · weight + bias`, with μ and σ² over the rows of all processes, however they are divided.
    Gradients pass through both. In evaluation, or with one process, it is the usual batch norm. All processes
    must call it the same number of times. Half precision is normalised in float32.

    Raises:
        ValueError: in training, fewer than two values per channel in all processes together.

    Source: Ioffe & Szegedy 2015, algorithm 1; across devices: Peng et al. 2018 (MegDet), §3.3.

    >>> SharedBatchNorm(3)(torch.ones(2, 3, 4, 4)).abs().max().item()
    0.0
    """

    def forward(self, input: Float[Tensor, "n c *shape"]) -> Float[Tensor, "n c *shape"]:  # noqa: A002 - torch's name
        """Normalise a batch; in training it needs more than one row over all processes."""
        if not self.training or world() is None:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        around = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = x.new_tensor([x.numel() / x.shape[1]])
        total = sum_over(torch.cat([x.sum(around), count]))
        if (n := total[-1].detach()) < 2:
            raise ValueError(requirement("input", "have 2 values per channel in all processes together", int(n)))
        mean = total[:-1] / n
        # A second sum, because the mean of squares less the square of the mean would cancel.
        centred = x - mean.view(shape)
        variance = sum_over(centred.square().sum(around)) / n
        self._remember(mean.detach(), variance.detach() * n / (n - 1))
        y = centred * (variance + self.eps).rsqrt().view(shape)
        y = y if self.weight is None else y * self.weight.view(shape)
        y = y if self.bias is None else y + self.bias.view(shape)
        return y.to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        if input.ndim < 2:
            raise ValueError(requirement("input", "have at least 2 dimensions", input.ndim))


def share_batch_norm(module: nn.Module) -> nn.Module:
    """Turn each batch norm of a module into one over all processes, in place; weights and statistics stay.

    A training on CUDA computes them by torch's own (`fused_batch_norm`).

    >>> type(share_batch_norm(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))[1]).__name__
    'SharedBatchNorm'
    """
    for norm in module.modules():
        if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            # The object keeps its identity and only changes its class, so that an optimizer's references stay valid.
            norm.__class__ = SharedBatchNorm
    return module


def fused_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """On CUDA, let `nn.SyncBatchNorm` compute each `SharedBatchNorm` of a module, in place.

    It has compiled kernels and one message each way instead of two, but takes no tensors of a CPU and has no second
    derivative. Weights and statistics stay, and so does every other batch norm. With one process, both are the usual
    batch norm, and the module stays as it is.

    >>> norm = share_batch_norm(nn.BatchNorm1d(3))
    >>> type(fused_batch_norm(norm, torch.device("cpu"))).__name__
    'SharedBatchNorm'
    """
    if device.type != "cuda" or world() is None:
        return module
    for norm in module.modules():
        if type(norm) is SharedBatchNorm:
            # `convert_sync_batchnorm` would also take the batch norms that are not shared.
            norm.__class__ = nn.SyncBatchNorm  # type: ignore[assignment]
            norm.process_group = None  # type: ignore[assignment]
    return module
