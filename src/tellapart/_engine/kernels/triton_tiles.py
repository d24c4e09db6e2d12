"""The kernel of GPUs: tiles of scores that never leave the chip, by Triton, and a library's products.

Triton is imported when a block is computed with it, and not before.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine.kernels import triton_launch, triton_masks
from tellapart._engine.kernels.accumulators import LogitGrad, OnlineSum
from tellapart._engine.kernels.interface import Block, FusedRequest, FusedResult, KeptTiles, Sums
from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.kernels.triton_launch import HALF, Vectors, is_interpreted

if TYPE_CHECKING:
    from jaxtyping import Float

BAND = 8192
"""Rows for which parts of sums are held at a time: 16 MiB of 32768 keys."""
GROUP = 8
"""Bands of tiles that are computed together, for the vectors that they share."""
IN_REGISTERS = 256
"""Length of the longest vectors for which a program keeps the gradient in registers."""
SIDE = 8192
"""Rows and columns of a block of `∂L/∂S` of longer vectors: 128 MiB in half precision, or half as many rows."""


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
        is_plain = mask.is_plain and form == "exp" and block.positives is None
        sizes = triton_launch.for_tiles(vectors, is_plain=is_plain)
        n_kinds = 1 + (form == "logits") + 2 * (block.positives is not None)
        n_cols = c if mirrored else 0 if sums.cols is None else m
        for first in range(0, n, BAND):
            height = min(BAND, n - first)
            grid = _cdiv(height, sizes.height), _cdiv(c, sizes.width)
            of_rows = like.new_empty(n_kinds, grid[1], height)
            of_cols = like.new_empty(n_kinds, grid[0], n_cols) if n_cols else None
            with torch.cuda.device_of(queries):
                sums_kernel[grid](
                    *(queries, keys, *queries.stride(), *keys.stride(), block.scale),
                    *(of_rows, of_cols, of_rows.stride(0), 0 if of_cols is None else of_cols.stride(0)),
                    *(mask.leaves, () if positives is None else positives.leaves, first, height, n, m, c),
                    MASK=mask.expression,
                    POSITIVES=None if positives is None else positives.expression,
                    FORM=form,
                    MIRRORED=mirrored,
                    LENGTH=queries.shape[1],
                    **_how(vectors, sizes),
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
    ) -> None:
        """Add `scale · G K` and `scale · Gᵀ Q`: in registers, or by block of `G`, as the vectors' length demands."""
        _Gradient(block, row_grad, row_grad if block.candidates.mirrored else col_grad).add_to(into)

    def fuses(self, block: Block) -> bool:  # noqa: ARG002
        """Never: a band of scores does not stay on the chip."""
        return False

    def fused(self, block: Block, request: FusedRequest) -> FusedResult:  # noqa: ARG002
        """No block; see `fuses`."""
        raise TypeError(f"{self.name} fuses no block.")


class _Gradient:
    """The gradient of a block. Of a symmetric matrix, `G` is replaced by `(G + Gᵀ)/2`, which has the same sums."""

    def __init__(self, block: Block, rows: LogitGrad, cols: LogitGrad | None) -> None:
        self.block, self.vectors, self.rows, self.cols = block, Vectors.of(block), rows, cols
        self.mask = triton_masks.of_candidates(block.candidates, block.queries.device)
        self.power: Tensor | None = None
        if self.vectors.queries.dtype == torch.float16:
            # G of a mean over many queries is too small for float16. No entry is larger than its factors together.
            largest = torch.stack([side.factor.abs().amax() for side in (rows, cols) if side is not None])
            self.power = triton_launch.power_for(largest.sum() * abs(block.scale))

    def add_to(self, into: tuple[Tensor | None, Tensor | None]) -> None:
        """Add the gradients to those of queries and keys that are given."""
        wanted = [x for x in into if x is not None]
        if self.power is not None:
            torch._foreach_mul_(wanted, self.power)
        if self.block.queries.shape[1] <= IN_REGISTERS:
            self.by_rows(into)
        else:
            self.by_blocks(into)
        if self.power is not None:
            torch._foreach_div_(wanted, self.power)

    def by_rows(self, into: tuple[Tensor | None, Tensor | None]) -> None:
        """Each program keeps the gradient of some vectors and streams those of the other side."""
        queries_grad, keys_grad = into
        mirrored, one = self.block.candidates.mirrored, self.vectors.queries is self.vectors.keys
        of_queries = None if queries_grad is None else self._of_rows(turned=False)
        if queries_grad is not None and of_queries is not None:
            queries_grad += of_queries
        if keys_grad is not None:
            # Of a symmetric matrix of the same vectors it is the same again.
            is_known = of_queries is not None and mirrored and one
            keys_grad += of_queries if is_known and of_queries is not None else self._of_rows(turned=True)

    def by_blocks(self, into: tuple[Tensor | None, Tensor | None]) -> None:
        """A block of `G` is written, and library products add it to both gradients."""
        from tellapart._engine.kernels.triton_backward import block_kernel

        vectors, (n, m, c, *_) = self.vectors, self.block.candidates
        queries, keys = vectors.queries, vectors.keys
        sizes = triton_launch.for_tiles(vectors, is_plain=False)
        mirrored = self.block.candidates.mirrored
        tall = SIDE if vectors.is_half else SIDE // 2
        wide = tall if mirrored else SIDE
        room = queries.new_empty(min(tall, n) * min(wide, c))
        queries_grad, keys_grad = into
        for first_row in range(0, n, tall):
            for first_col in range(first_row if mirrored else 0, c, wide):
                height, width = min(tall, n - first_row), min(wide, c - first_col)
                out = room[: height * width].view(height, width)
                # A block above the diagonal stands for its mirror image, too.
                halved = mirrored and first_row == first_col
                with torch.cuda.device_of(queries):
                    block_kernel[_cdiv(height, sizes.height), _cdiv(width, sizes.width)](
                        *(queries, keys, *queries.stride(), *keys.stride(), self.block.scale),
                        *(*self._factors(0.5 if halved else 1.0), out),
                        *(self.mask.leaves, first_row, first_col, height, width, n, m, c),
                        MASK=self.mask.expression,
                        FORM=self.block.form,
                        LENGTH=queries.shape[1],
                        **_how(vectors, sizes),
                    )
                rows, cols = slice(first_row, first_row + height), slice(first_col, first_col + width)
                if queries_grad is not None:
                    _add_product(queries_grad[rows], out, self.block.keys[cols])
                if keys_grad is not None:
                    _add_product(keys_grad[cols], out.T, self.block.queries[rows])

    def _of_rows(self, *, turned: bool) -> Float[Tensor, "n e"]:
        """The gradient of the queries or, if `turned`, of the keys."""
        from tellapart._engine.kernels.triton_backward import rows_kernel

        own, others = (self.vectors.queries, self.vectors.keys)[:: -1 if turned else 1]
        length = own.shape[1]
        padded = max(16, 1 << (length - 1).bit_length())
        sizes = triton_launch.for_rows(self.vectors, padded, is_plain=self.mask.is_plain)
        n_programs = _cdiv(len(own), sizes.height)
        # Enough parts to keep the device busy, each with a few tiles at least.
        parts = min(_cdiv(2 * triton_launch.processors(own.device), n_programs), _cdiv(len(others), 4 * sizes.width))
        stretch = _cdiv(_cdiv(len(others), parts), sizes.width) * sizes.width
        parts = _cdiv(len(others), stretch)
        out = own.new_empty(parts, len(own), length, dtype=torch.float32)
        with torch.cuda.device_of(own):
            rows_kernel[n_programs, parts](
                *(own, others, *own.stride(), *others.stride(), self.block.scale),
                *(*self._factors(0.5 if self.block.candidates.mirrored else 1.0), out, out.stride(0)),
                *(self.mask.leaves, stretch, len(own), len(others), *self.block.candidates[:3]),
                MASK=self.mask.expression,
                FORM=self.block.form,
                TURNED=turned,
                LENGTH=length,
                PADDED=padded,
                PRECISION=self.vectors.precision,
                HEIGHT=sizes.height,
                WIDTH=sizes.width,
                **sizes.launch(),
            )
        return out[0] if parts == 1 else out.sum(0)

    def _factors(self, share: float) -> tuple[Tensor | None, ...]:
        """Factors and logarithms of the rows and of the columns."""
        factors: list[Tensor | None] = []
        by = share if self.power is None else share * self.power
        for side in (self.rows, self.cols):
            factors += (None, None) if side is None else (side.factor * by, side.log)
        return tuple(factors)


def _take_in(
    parts: Float[Tensor, "kinds t n"], sums: OnlineSum, maxima: Float[Tensor, "n 2"] | None, span: slice
) -> None:
    """Add what tiles have come to, in a fixed order."""
    shifts = parts[1] if sums.form == "logits" else None
    sums.add_parts(parts[0], shifts, span)
    if maxima is not None:
        maxima[span] = torch.maximum(maxima[span], parts[-2:].amax(1).T)


def _add_product(into: Tensor, gradient: Tensor, vectors: Tensor) -> None:
    """Add a product to a gradient in float32."""
    if gradient.dtype == torch.float32:
        into.addmm_(gradient, vectors)
    elif gradient.is_cuda:
        torch.addmm(into, gradient, vectors.to(gradient.dtype), out_dtype=torch.float32, out=into)
    else:
        into.addmm_(gradient.float(), vectors.to(gradient.dtype).float())


def _how(vectors: Vectors, sizes: triton_launch.Sizes) -> dict[str, int | str]:
    """How a kernel of tiles is compiled."""
    tile = {"HEIGHT": sizes.height, "WIDTH": sizes.width, "STEP": sizes.step, "GROUP": GROUP}
    return {**tile, "PRECISION": vectors.precision, **sizes.launch()}


def _cdiv(size: int, step: int) -> int:
    return -(-size // step)


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
