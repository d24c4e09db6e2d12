"""Sequences of different lengths, such as the tokens of sentences, concatenated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped


@dataclass(frozen=True, eq=False)
class Ragged:
    """n concatenated sequences with these `lengths`; every column has one value per place.

    >>> words = Ragged((torch.tensor([7, 8, 9]),), torch.tensor([1, 2]))
    >>> words.rows(torch.tensor([1, 0, 1])).columns[0].tolist()
    [8, 9, 7, 8, 9]
    """

    columns: tuple[Shaped[Tensor, " total"], ...]
    lengths: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.lengths)

    def starts(self) -> Int[Tensor, " n"]:
        """Where each sequence begins."""
        return self.lengths.cumsum(0) - self.lengths

    def rows(self, index: Int[Tensor, " k"]) -> Ragged:
        """The sequences at these rows, in this order."""
        lengths = self.lengths[index]
        shift = self.starts()[index] - (lengths.cumsum(0) - lengths)
        places = torch.arange(int(lengths.sum()), device=index.device) + shift.repeat_interleave(lengths)
        return Ragged(tuple(column[places] for column in self.columns), lengths)

    def owners(self) -> Int[Tensor, " total"]:
        """The sequence of each place."""
        return torch.arange(len(self), device=self.lengths.device).repeat_interleave(self.lengths)

    def padded(self, filler: int = 0) -> tuple[Shaped[Tensor, "n longest"], Bool[Tensor, "n longest"]]:
        """The first column, padded to a rectangle, and a mask of the places that are not padding.

        >>> Ragged((torch.tensor([7, 8, 9]),), torch.tensor([1, 2])).padded()[0].tolist()
        [[7, 0], [8, 9]]
        """
        longest = int(self.lengths.max())
        real = torch.arange(longest, device=self.lengths.device) < self.lengths[:, None]
        values = self.columns[0]
        return values.new_full(real.shape, filler).masked_scatter(real, values), real

    def to(self, device: torch.device) -> Ragged:
        """The same sequences on `device`."""
        return Ragged(tuple(column.to(device) for column in self.columns), self.lengths.to(device))


def mean_over(states: Float[Tensor, "n longest d"], real: Shaped[Tensor, "n longest"]) -> Float[Tensor, "n d"]:
    """The mean of the states that the mask has, of each row.

    >>> mean_over(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]])).tolist()
    [[2.0]]
    """
    return (states * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
