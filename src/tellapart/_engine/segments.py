"""Sums of exponentials in logarithms: over listed pairs row by row, and of two numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def segment_sum(values: Float[Tensor, " p"], rows: Int[Tensor, " p"], n: int) -> Float[Tensor, " n"]:
    """`Σ_{p: rows_p = i} v_p`.

    >>> segment_sum(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2, 2]), 3)
    tensor([1., 0., 5.])
    """
    return values.new_zeros(n).index_add(0, rows, values)


def segment_logsumexp(values: Float[Tensor, " p"], rows: Int[Tensor, " p"], n: int) -> Float[Tensor, " n"]:
    """`log Σ_{p: rows_p = i} exp v_p`; −∞, and a gradient of zero, where there is no p.

    >>> segment_logsumexp(torch.tensor([0.0, 0.0]), torch.tensor([1, 1]), 2)
    tensor([  -inf, 0.6931])
    """
    top = torch.full((n,), float("-inf"), dtype=values.dtype, device=values.device)
    top = top.scatter_reduce(0, rows, values.detach(), "amax")
    none = top == float("-inf")
    top = top.masked_fill(none, 0)
    total = segment_sum((values - top[rows]).exp(), rows, n)
    return (total.masked_fill(none, 1).log() + top).masked_fill(none, float("-inf"))


def log_add(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """`log(exp a + exp b)`, with derivatives of any order where one of them is −∞, too.

    >>> log_add(torch.tensor([0.0, float("-inf")]), torch.tensor([0.0, 2.0]))
    tensor([0.6931, 2.0000])
    """
    no_a, no_b = a == float("-inf"), b == float("-inf")
    either = no_a | no_b
    both = torch.logaddexp(a.masked_fill(either, 0), b.masked_fill(either, 0))
    return torch.where(no_b, a, torch.where(no_a, b, both))
