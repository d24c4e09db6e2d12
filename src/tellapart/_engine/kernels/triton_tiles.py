"""The kernel of GPUs: tiles of scores that never leave the chip, by Triton, and a library's products.

Triton is imported when a block is computed with it, and not before.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine.factors import HALF
from tellapart._engine.kernels import triton_launch, triton_masks
from tellapart._engine.kernels.accumulators import LogitGrad, OnlineSum
from tellapart._engine.kernels.interface import Block, FusedRequest, FusedResult, KeptTiles, Moments, Sums
from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.kernels.triton_gradient import Gradient
from tellapart._engine.kernels.triton_launch import Vectors, cdiv, how, is_interpreted, scales_of

if TYPE_CHECKING:
    from jaxtyping import Float

BAND = 8192
"""Rows for which parts of sums are held at a time: 16 MiB of 32768 keys."""


class TritonTiles:
    """Blocks of float32, bfloat16 and float16 on GPUs. On a CPU they are interpreted, for tests alone."""

    name = "triton_tiles"

    def supports(self, block: Block) -> str | None:
        """`None`, or what of the block's device, dtype or masks it cannot compute."""
        queries = block.queries
        if (reason := _unfit(queries.device)) is not None:
            return reason
        if queries.dtype != torch.float32 and queries.dtype not in HALF:
            return f"{queries.dtype} is no dtype of its products"
        if max(len(queries), len(block.keys)) >= 2**31:
            return "more than 2³¹ rows"
        positives = None if isinstance(block.positives, tuple) else block.positives
        return triton_masks.why_not(block.candidates.among) or triton_masks.why_not(positives)

    def forward(self, block: Block, *, columns: bool, keep: int) -> Sums:  # noqa: ARG002 - scores are computed again
        """The sums over a block, each tile computed once for its rows and its columns."""
        from tellapart._engine.kernels.triton_forward import sums_kernel

        vectors, (n, m, c, *_), form = Vectors.of(block), block.candidates, block.form
        mirrored, queries, keys = block.candidates.mirrored, vectors.queries, vectors.keys
        like = queries.new_empty(0, dtype=torch.float32)
        sums = Sums(OnlineSum(n, like, form), OnlineSum(m, like, form) if columns and not mirrored else None)
        mask, positives = triton_masks.of_candidates(block.candidates, queries.device), None
        if block.positives is not None:
            positives = triton_masks.of_positives(block.positives, block.candidates, queries.device)
            sums.row_maxima = like.new_full((n, 2), MASKED)
            sums.col_maxima = None if sums.cols is None else like.new_full((m, 2), MASKED)
        scales = scales_of(block)
        is_plain = mask.is_plain and form == "exp" and block.positives is None
        is_wide = mask.is_plain and form == "logits" and block.positives is None
        sizes = triton_launch.for_tiles(vectors, is_plain=is_plain, is_wide=is_wide)
        n_kinds = 1 + (form == "logits") + 2 * (block.positives is not None)
        n_cols = c if mirrored else 0 if sums.cols is None else m
        for first in range(0, n, BAND):
            height = min(BAND, n - first)
            grid = cdiv(height, sizes.height), cdiv(c, sizes.width)
            of_rows = like.new_empty(n_kinds, grid[1], height)
            of_cols = like.new_empty(n_kinds, grid[0], n_cols) if n_cols else None
            with torch.cuda.device_of(queries):
                sums_kernel[grid](
                    *(queries, keys, *queries.stride(), *keys.stride(), *scales),
                    *(of_rows, of_cols, of_rows.stride(0), 0 if of_cols is None else of_cols.stride(0)),
                    *(mask.leaves, () if positives is None else positives.leaves, first, height, n, m, c),
                    MASK=mask.coded,
                    POSITIVES=None if positives is None else positives.coded,
                    FORM=form,
                    MIRRORED=mirrored,
                    LENGTH=queries.shape[1],
                    **how(vectors, sizes),
                )
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
        return Gradient(block, row_grad, cols, moments=moments).add_to(into)

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
def _unfit(device: torch.device) -> str | None:
    """Why nothing can be computed on a device."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    if device.type == "cuda":
        has_cores = torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
        return None if has_cores else "a GPU older than compute capability 8.0"
    if device.type != "cpu":
        return f"{device.type} has no kernels of Triton's"
    return None if is_interpreted() else "on a CPU kernels are interpreted, under TRITON_INTERPRET=1"
