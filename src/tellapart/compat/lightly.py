"""lightly: `from tellapart.compat.lightly import NTXentLoss`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.compat.common import among_given
from tellapart.distributed import gather, world
from tellapart.errors import as_temperature, requirement
from tellapart.negatives import KeyQueue
from tellapart.objective import nt_xent
from tellapart.scores import unit
from tellapart.variants.options import reduced

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["LightlyNTXentLoss", "NTXentLoss"]


class LightlyNTXentLoss(nn.Module):
    """lightly's `NTXentLoss`, which is `nt_xent` of two views: `L_i = log Σ_{j≠i} exp S_ij − S_i⁺`, cosines.

    With a memory bank, the negatives of `out0` are the bank's keys alone, and its positives in `out1` enter the bank
    afterwards where `out0` requires a gradient. As in the peer, the bank begins with random directions. Unlike the
    peer's, it loses no key of a batch that wraps, and it is saved and loaded with the model.

    Args:
        temperature: τ > 0.
        memory_bank_size: `(size, dim)` of the bank, or 0 for none.
        gather_distributed: share the loss among all processes; with a bank, keep the keys of all in it.

    Raises:
        ValueError: τ ≤ 0, a bank without its dimension; in a call as `nt_xent`.

    Source: Chen et al. 2020 (SimCLR), eq. 1; with a bank: He et al. 2020 (MoCo), eq. 1.

    >>> LightlyNTXentLoss(temperature=1.0)(torch.eye(2), torch.eye(2))  # log(e + 2) − 1
    tensor(0.5514)
    """

    def __init__(
        self,
        temperature: float = 0.5,
        memory_bank_size: int | Sequence[int] = 0,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__()
        self.temperature, self.gather_distributed = as_temperature(temperature, 1), gather_distributed
        size = (memory_bank_size,) if isinstance(memory_bank_size, int) else tuple(memory_bank_size)
        if size != (0,) and (len(size) != 2 or min(size) < 0):
            raise ValueError(requirement("memory_bank_size", "be 0 or (size, dim)", memory_bank_size))
        self.memory_bank = None if not size[0] else KeyQueue(*size)
        if self.memory_bank is not None:
            self.memory_bank.push(unit(torch.randn(size)), torch.full(size[:1], -1))

    def forward(self, out0: Float[Tensor, "n d"], out1: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """The mean loss of all 2n views; with a bank, of the n of `out0`."""
        if self.memory_bank is None:
            group = world() if self.gather_distributed else None
            return nt_xent(out0, out1, temperature=self.temperature, group=group)
        if out0.shape != out1.shape:
            must = f"have the shape of `out0`, {tuple(out0.shape)}"
            raise ValueError(requirement("out1", must, f"shape {tuple(out1.shape)}"))
        losses = among_given(out0, out1, self.memory_bank.read()[0].to(out0.device), self.temperature)
        if out0.requires_grad:
            keys = unit(out1.detach().to(torch.promote_types(out1.dtype, torch.float32)))
            keys = gather(keys) if self.gather_distributed else keys
            self.memory_bank.push(keys, torch.full((len(keys),), -1, device=keys.device))
        return reduced(losses, torch.ones_like(losses, dtype=torch.bool), "mean")


NTXentLoss = LightlyNTXentLoss
