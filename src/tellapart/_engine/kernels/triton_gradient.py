"""The gradient of a block by Triton's kernels: in registers, or a block of `∂L/∂S` at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine.kernels import triton_launch
from tellapart._engine.kernels.accumulators import LogitGrad
from tellapart._engine.kernels.interface import Block, Moments
from tellapart._engine.kernels.triton_calls import FAR, Operands, Sides, Split, Stretches
from tellapart._engine.kernels.triton_launch import cdiv

if TYPE_CHECKING:
    from jaxtyping import Float

SIDE = 8192
"""Rows and columns of a block of `∂L/∂S` of longer vectors: 128 MiB in half precision, or half as many rows."""


class Gradient:
    """The gradient of a block. Of a symmetric matrix, `G` is replaced by `(G + Gᵀ)/2`, which has the same sums."""

    def __init__(
        self, block: Block, operands: Operands, rows: LogitGrad, cols: LogitGrad | None, *, moments: bool
    ) -> None:
        self.block, self.operands, self.rows, self.cols = block, operands, rows, cols
        self.with_moments, self.moments = moments, list[Tensor | None]((None, None))
        row_scale, step, key_scale = operands.scales
        # One number scales all scores: then one moment of all is enough.
        self.of_each = bool(step) or key_scale is not None
        self.power: Tensor | None = None
        if operands.vectors.queries.dtype == torch.float16:
            # G of a mean over many queries is too small for float16. No entry is larger than its factors together.
            largest = torch.stack([side.factor.abs().amax() for side in (rows, cols) if side is not None]).sum()
            for scale in (row_scale, key_scale):
                largest = largest if scale is None else largest * scale.abs().amax()
            self.power = triton_launch.power_for(largest)

    def add_to(self, into: tuple[Tensor | None, Tensor | None]) -> Moments | None:
        """Add the gradients to those of queries and keys that are given; the moments of the same, if wanted."""
        wanted = [x for x in into if x is not None]
        if self.power is not None:
            torch._foreach_mul_(wanted, self.power)
        with torch.cuda.device_of(self.block.queries):
            if triton_launch.keeps_rows(self.operands.vectors):
                self.by_rows(into)
            else:
                self.by_blocks(into)
        if self.power is None:
            return (self.moments[0], self.moments[1]) if self.with_moments else None
        torch._foreach_div_(wanted, self.power)
        of_rows, of_cols = (None if x is None else x / self.power for x in self.moments)
        return (of_rows, of_cols) if self.with_moments else None

    def by_rows(self, into: tuple[Tensor | None, Tensor | None]) -> None:
        """Each program keeps the gradient of some vectors and streams those of the other side."""
        queries_grad, keys_grad = into
        queries, keys, _ = self.operands.vectors
        if self.operands.mirrored and queries is keys and queries_grad is not None and keys_grad is not None:
            # Of a symmetric matrix of the same vectors both are the same.
            of_both = torch.zeros_like(queries_grad)
            self._add_rows(of_both, turned=False)
            queries_grad += of_both
            keys_grad += of_both
            self.moments[1] = self.moments[0]
            return
        for turned, gradient in enumerate(into):
            if gradient is not None:
                self._add_rows(gradient, turned=bool(turned))

    def by_blocks(self, into: tuple[Tensor | None, Tensor | None]) -> None:
        """A block of `G` is written, and library products add it to both gradients."""
        operands, queries = self.operands, self.operands.vectors.queries
        n, c, mirrored = operands.n, operands.c, operands.mirrored
        sizes = operands.tiles()
        tall = SIDE if operands.vectors.is_half else SIDE // 2
        wide = tall if mirrored else SIDE
        room = Split.room(queries, min(tall, n) * min(wide, c), operands.vectors.precision)
        own, others = (Split.of(x, operands.vectors.precision) for x in (self.block.queries, self.block.keys))
        queries_grad, keys_grad = into
        if self.with_moments:
            of_rows, of_cols = ((n,), (c,)) if self.of_each else ((), None)
            self.moments = [None if x is None else self.rows.factor.new_zeros(x) for x in (of_rows, of_cols)]
        for first_row in range(0, n, tall):
            for first_col in range(first_row if mirrored else 0, c, wide):
                height, width = min(tall, n - first_row), min(wide, c - first_col)
                out = room.cut(height, width)
                # A block above the diagonal stands for its mirror image, too.
                sides = self._sides(0.5 if mirrored and first_row == first_col else 1.0)
                n_tiles = cdiv(height, sizes.height), cdiv(width, sizes.width)
                parts = self._parts_of_moments((n_tiles[1], height), (n_tiles[0], width))
                operands.gradient_block(sides, (first_row, first_col), sizes, out, parts)
                rows, cols = slice(first_row, first_row + height), slice(first_col, first_col + width)
                self._take_moments(parts, (rows, cols))
                if queries_grad is not None:
                    out.add_product(others.rows(cols), queries_grad[rows])
                if keys_grad is not None:
                    out.T.add_product(own.rows(rows), keys_grad[cols])

    def _parts_of_moments(self, *shapes: tuple[int, int]) -> tuple[Tensor | None, Tensor | None]:
        """Room for what tiles add up to, of each row and column or of the whole tile, if moments are wanted."""
        if not self.with_moments:
            return None, None
        like = self.rows.factor
        if not self.of_each:
            return like.new_empty(shapes[0][0] * shapes[1][0]), None
        return like.new_empty(shapes[0]), like.new_empty(shapes[1])

    def _take_moments(self, parts: tuple[Tensor | None, Tensor | None], spans: tuple[slice, slice]) -> None:
        for moments, span, of_tiles in zip(self.moments, spans, parts, strict=True):
            if moments is not None and of_tiles is not None:
                (moments[span] if self.of_each else moments).add_(of_tiles.sum(0))

    def _add_rows(self, into: Float[Tensor, "n e"], *, turned: bool) -> None:
        """Add to the gradient of the queries or, if `turned`, of the keys."""
        own, others = self.operands.vectors[:2][:: -1 if turned else 1]
        stretches = Stretches.of(self.operands, len(own), len(others))
        parts = stretches.n_parts
        is_added = parts == 1 and into.is_contiguous()
        out = into[None] if is_added else into.new_empty(parts, *into.shape)
        moments = None
        if self.with_moments:
            moments = into.new_empty(parts, len(own) if self.of_each else stretches.n_programs)
        sides = self._sides(0.5 if self.operands.mirrored else 1.0)
        how = {"turned": turned, "of_each": self.of_each, "added": is_added}
        self.operands.gradient_rows(sides, FAR, stretches, out, moments, **how)
        if not is_added:
            into += out[0] if parts == 1 else out.sum(0)
        if moments is not None:
            self.moments[turned] = moments.sum(0) if self.of_each else moments.sum()

    def _sides(self, share: float) -> Sides:
        """Factors and logarithms of the rows and of the columns."""
        by = share if self.power is None else share * self.power
        rows = self.rows.factor * by, self.rows.log
        cols = (None, None) if self.cols is None else (self.cols.factor * by, self.cols.log)
        return *rows, *cols, None, None
