"""Sums over scores that grow tile by tile, and what their gradient makes of a tile."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from jaxtyping import Float

Form = Literal["exp", "logits", "softplus"]
"""What a tile holds when it is added up: exponentials known to be bounded, logits, or `log(1 + exp S)`."""

# The default threshold, beyond which softplus(x) = x, is too low for float64.
SOFTPLUS_THRESHOLD = 40.0


def in_form(logits: Float[Tensor, "r c"], form: Form) -> Float[Tensor, "r c"]:
    """A tile of logits in the form in which it is added up; in place where there is a way.

    >>> in_form(torch.zeros(1, 1), "softplus")
    tensor([[0.6931]])
    """
    if form == "exp":
        return logits.exp_()
    return softplus(logits, threshold=SOFTPLUS_THRESHOLD) if form == "softplus" else logits


class OnlineSum:
    """A sum per row, or per column, of what tiles hold: `log(total) + shift` of exponentials and logits.

    Of logits `shift` is the running maximum; of exponentials known to be bounded, and of softplus, it stays 0.
    """

    def __init__(self, size: int, like: Tensor, form: Form) -> None:
        self.form: Form = form
        # Finite, so that a row without candidates gives exp(−∞ − shift) = 0 and not NaN.
        self.shift = like.new_full((size,), torch.finfo(like.dtype).min / 4 if form == "logits" else 0.0)
        self.total = like.new_zeros(size)

    def add(self, values: Float[Tensor, "r c"], span: slice, dim: int, scratch: Tensor) -> None:
        """Add a tile along a dimension to the rows or columns of the span."""
        if self.form != "logits":
            self.total[span].add_(values.sum(dim))
            return
        old, top = self.shift[span], values.amax(dim)
        new = torch.maximum(old, top)
        out = scratch[: values.numel()].view_as(values)
        torch.sub(values, new.unsqueeze(dim), out=out).exp_()
        self.total[span] = self.total[span] * (old - new).exp_() + out.sum(dim)
        self.shift[span] = new

    def add_parts(
        self, totals: Float[Tensor, "t n"], shifts: Float[Tensor, "t n"] | None, span: slice = slice(None)
    ) -> None:
        """Add what several tiles have come to, each with the shift of its logits, to the rows of the span."""
        if shifts is None:
            self.total[span].add_(totals.sum(0))
            return
        old = self.shift[span]
        new = torch.maximum(old, shifts.amax(0))
        self.total[span] = self.total[span] * (old - new).exp_() + (shifts - new).exp_().mul_(totals).sum(0)
        self.shift[span] = new

    def merge(self, other: OnlineSum) -> None:
        """Add what another one has come to, row by row."""
        if self.form == "logits":
            new = torch.maximum(self.shift, other.shift)
            self.total.mul_((self.shift - new).exp_()).add_(other.total * (other.shift - new).exp_())
            self.shift = new
        else:
            self.total += other.total

    def hand_on(self, send: Callable[[Tensor], Tensor]) -> None:
        """Send the sums to the next rank, and take those that the previous one sends."""
        self.total, self.shift = send(torch.stack([self.total, self.shift], dim=1)).unbind(1)
        self.total, self.shift = self.total.contiguous(), self.shift.contiguous()

    def value(self, minus: Float[Tensor, " n"], span: slice = slice(None)) -> Float[Tensor, " n"]:
        """The logarithm of the sums of a span, less `minus`; −∞ where nothing was added. Of softplus, the sums."""
        total, shift = self.total[span], self.shift[span]
        if self.form == "softplus":
            return total
        if self.form == "logits":
            return total.log() + (shift - minus)
        # Two large numbers that cancel: their exponentials keep the digits, where they can be had.
        rounded, exact = total.log() - minus, (total * (-minus).exp()).log()
        return torch.where(rounded.abs() < 0.5 * math.log(torch.finfo(minus.dtype).max), exact, rounded)

    def logit_grad(self, gradient: Float[Tensor, " n"], span: slice = slice(None)) -> LogitGrad:
        """The gradient by the logits, of an upstream gradient by `log Z`, or by the sum itself for softplus."""
        if self.form == "softplus":
            return LogitGrad(gradient, None)
        total = self.total[span]
        empty = total == 0
        if self.form == "exp":
            return LogitGrad((gradient / total).masked_fill(empty, 0), None)
        return LogitGrad(gradient.masked_fill(empty, 0), (total.log() + self.shift[span]).masked_fill(empty, 0))


class LogitGrad(NamedTuple):
    """`G_ij = factor_i · E_ij`, where E is the tile's exponentials, `exp(S_ij − log_i)` of logits, or σ(S_ij)."""

    factor: Float[Tensor, " n"]
    log: Float[Tensor, " n"] | None

    def at(self, span: slice, dim: int) -> tuple[Tensor, Tensor | None]:
        """Factor and logarithm of the rows (`dim` 1) or columns (`dim` 0) of the span, as they broadcast."""
        place = (span, None) if dim == 1 else (None, span)
        return self.factor[place], None if self.log is None else self.log[place]


def write_logit_grad(
    values: Float[Tensor, "r c"],
    rows: tuple[Tensor, Tensor | None],
    cols: tuple[Tensor, Tensor | None] | None,
    out: Float[Tensor, "r c"],
) -> None:
    """Write a tile of `G = ∂L/∂S`, the sum of what rows and columns (as `LogitGrad.at` gives them) contribute.

    >>> out, one = torch.empty(1, 1), torch.ones(1, 1)
    >>> write_logit_grad(2 * one, (one, None), (one, None), out)
    >>> out
    tensor([[4.]])
    """
    (factor, log), (col_factor, col_log) = rows, cols or (None, None)
    if log is not None:
        torch.sub(values, log, out=out).exp_().mul_(factor)
        if col_factor is not None and col_log is not None:
            out.addcmul_((values - col_log).exp_(), col_factor)
    elif col_factor is None:
        torch.mul(values, factor, out=out)
    else:
        torch.add(factor, col_factor, out=out).mul_(values)
