"""The kernel of GPUs: tiles of scores that never leave the chip, by Triton, and a library's products.

Triton is imported when a block is computed with it, and not before.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine.factors import HALF
from tellapart._engine.kernels import triton_masks
from tellapart._engine.kernels.accumulators import LogitGrad, OnlineSum
from tellapart._engine.kernels.interface import Block, FusedRequest, FusedResult, KeptTiles, Moments, Sums
from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.kernels.triton_calls import Operands
from tellapart._engine.kernels.triton_gradient import Gradient
from tellapart._engine.kernels.triton_launch import cdiv, is_interpreted

if TYPE_CHECKING:
    from jaxtyping import Float

_log = logging.getLogger(__name__)


class TritonTiles:
    """Blocks of float32, bfloat16 and float16 on GPUs. On a CPU they are interpreted, for tests alone."""

    name = "triton_tiles"

    def supports(self, block: Block) -> str | None:
        """`None`, or what of the block's device, dtype or masks it cannot compute."""
        queries = block.queries
        if (reason := unfit(queries.device)) is not None:
            return reason
        if queries.dtype != torch.float32 and queries.dtype not in HALF:
            return f"{queries.dtype} is no dtype of its products"
        if max(len(queries), len(block.keys)) >= 2**31:
            return "more than 2³¹ rows"
        positives = None if isinstance(block.positives, tuple) else block.positives
        return triton_masks.why_not(block.candidates.among) or triton_masks.why_not(positives)

    def forward(self, block: Block, *, columns: bool, keep: int) -> Sums:  # noqa: ARG002 - scores are computed again
        """The sums over a block, each tile computed once for its rows and its columns."""
        operands, form = Operands.of(block), block.form
        n, m, c, mirrored = operands.n, operands.m, operands.c, operands.mirrored
        like = block.queries.new_empty(0, dtype=torch.float32)
        sums = Sums(OnlineSum(n, like, form), OnlineSum(m, like, form) if columns and not mirrored else None)
        positives = None
        if block.positives is not None:
            positives = triton_masks.of_positives(block.positives, block.candidates, like.device)
            sums.row_maxima = like.new_full((n, 2), MASKED)
            sums.col_maxima = None if sums.cols is None else like.new_full((m, 2), MASKED)
        sizes = operands.tiles()
        n_kinds = 1 + (form == "logits") + 2 * (positives is not None)
        n_cols = c if mirrored else 0 if sums.cols is None else m
        tall = sizes.band(n, c, n_kinds)
        for first in range(0, n, tall):
            height = min(tall, n - first)
            of_rows = like.new_empty(n_kinds, cdiv(c, sizes.width), height)
            of_cols = like.new_empty(n_kinds, cdiv(height, sizes.height), n_cols) if n_cols else None
            with torch.cuda.device_of(like):
                operands.sums(positives, (first, height), sizes, of_rows, of_cols)
            _take_in(of_rows, sums.rows, sums.row_maxima, slice(first, first + height))
            if of_cols is not None:
                side, maxima = (sums.rows, sums.row_maxima) if sums.cols is None else (sums.cols, sums.col_maxima)
                _take_in(of_cols, side, maxima, slice(0, n_cols))
        return sums

    def backward(
        self,
        block: Block,
        kept: KeptTiles,  # noqa: ARG002 - scores are computed again
        row_grad: LogitGrad,
        col_grad: LogitGrad | None,
        into: tuple[Float[Tensor, "n e"] | None, Float[Tensor, "c e"] | None],
        *,
        moments: bool = False,
    ) -> Moments | None:
        """Add `scale · G K` and `scale · Gᵀ Q`: in registers, or by block of `G`, as the vectors' length demands."""
        cols = row_grad if block.candidates.mirrored else col_grad
        return Gradient(block, Operands.of(block), row_grad, cols, moments=moments).add_to(into)

    def fuses(self, block: Block) -> bool:  # noqa: ARG002
        """Never: a band of scores does not stay on the chip."""
        return False

    def fused(self, block: Block, request: FusedRequest) -> FusedResult:  # noqa: ARG002
        """No block; see `fuses`."""
        raise TypeError(f"{self.name} fuses no block.")


def _take_in(
    parts: Float[Tensor, "kinds t n"], sums: OnlineSum, maxima: Float[Tensor, "n 2"] | None, span: slice
) -> None:
    """Add what tiles have come to, in a fixed order."""
    shifts = parts[1] if sums.form == "logits" else None
    sums.add_parts(parts[0], shifts, span)
    if maxima is not None:
        maxima[span] = torch.maximum(maxima[span], parts[-2:].amax(1).T)


@cache
def unfit(device: torch.device) -> str | None:
    """Why nothing can be computed on a device, or `None`.

    >>> unfit(torch.device("meta")) is None
    False
    """
    if find_spec("triton") is None:
        return "Triton is not installed"
    if device.type == "cuda":
        has_cores = torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
        return _fails(device) if has_cores else "a GPU older than compute capability 8.0"
    if device.type != "cpu":
        return f"{device.type} has no kernels of Triton's"
    return None if is_interpreted() else "on a CPU kernels are interpreted, under TRITON_INTERPRET=1"


def _fails(device: torch.device) -> str | None:
    """Why Triton runs nothing on a device, as without a C compiler; found out once, and told by a warning."""
    from tellapart._engine.kernels.triton_ends import trial_kernel

    out = torch.empty(1, device=device)
    try:
        with torch.cuda.device_of(out):
            trial_kernel[(1,)](out)
    except Exception as error:  # plain operations do the same, whatever a driver says
        told = str(error).strip().splitlines()
        reason = f"Triton compiles nothing here ({type(error).__name__}: {told[0] if told else 'no reason given'})"
        _log.warning("%s: the loss is computed by PyTorch's own operations, which takes longer.", reason)
        return reason
    return None
