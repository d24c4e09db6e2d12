"""lightly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from tellapart.errors import as_temperature
from tellapart.objective import nt_xent

if TYPE_CHECKING:
    from jaxtyping import Float


class LightlyNTXentLoss(nn.Module):
    """lightly's `NTXentLoss`, which is `nt_xent` of two views: `L_i = log Σ_{j≠i} exp S_ij − S_i⁺`, cosines.

    Not here: `memory_bank_size` and `gather_distributed`.

    Args:
        temperature: τ > 0.

    Raises:
        ValueError: τ ≤ 0, or in a call as `nt_xent`.

    Source: Chen et al. 2020 (SimCLR), eq. 1.

    >>> import torch
    >>> LightlyNTXentLoss(temperature=1.0)(torch.eye(2), torch.eye(2))  # log(e + 2) − 1
    tensor(0.5514)
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = as_temperature(temperature, 1)

    def forward(self, out0: Float[Tensor, "n d"], out1: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """The mean loss of all 2n views."""
        return nt_xent(out0, out1, temperature=self.temperature)
