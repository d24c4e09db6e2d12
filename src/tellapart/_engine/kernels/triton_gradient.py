"""The gradient of a block by Triton's kernels: in registers, or a block of `∂L/∂S` at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine.kernels import triton_launch, triton_masks
from tellapart._engine.kernels.accumulators import LogitGrad
from tellapart._engine.kernels.interface import Block, Moments
from tellapart._engine.kernels.triton_launch import Vectors, cdiv, how, scales_of

if TYPE_CHECKING:
    from jaxtyping import Float

IN_REGISTERS = 256
"""Length of the longest vectors for which a program keeps the gradient in registers."""
SIDE = 8192
"""Rows and columns of a block of `∂L/∂S` of longer vectors: 128 MiB in half precision, or half as many rows."""


class Gradient:
    """The gradient of a block. Of a symmetric matrix, `G` is replaced by `(G + Gᵀ)/2`, which has the same sums."""

    def __init__(self, block: Block, rows: LogitGrad, cols: LogitGrad | None, *, moments: bool) -> None:
        self.block, self.vectors, self.rows, self.cols = block, Vectors.of(block), rows, cols
        self.mask = triton_masks.of_candidates(block.candidates, block.queries.device)
        self.scales = scales_of(block)
        self.with_moments, self.moments = moments, list[Tensor | None]((None, None))
        self.power: Tensor | None = None
        if self.vectors.queries.dtype == torch.float16:
            # G of a mean over many queries is too small for float16. No entry is larger than its factors together.
            largest = torch.stack([side.factor.abs().amax() for side in (rows, cols) if side is not None]).sum()
            for scale in (self.scales[0], self.scales[2]):
                largest = largest if scale is None else largest * scale.abs().amax()
            self.power = triton_launch.power_for(largest)

    def add_to(self, into: tuple[Tensor | None, Tensor | None]) -> Moments | None:
        """Add the gradients to those of queries and keys that are given; the moments of the same, if wanted."""
        wanted = [x for x in into if x is not None]
        if self.power is not None:
            torch._foreach_mul_(wanted, self.power)
        if self.block.queries.shape[1] <= IN_REGISTERS:
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
        is_one = self.block.candidates.mirrored and self.vectors.queries is self.vectors.keys
        if is_one and queries_grad is not None and keys_grad is not None:
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
        from tellapart._engine.kernels.triton_backward import block_kernel

        vectors, (n, m, c, *_) = self.vectors, self.block.candidates
        queries, keys = vectors.queries, vectors.keys
        sizes = triton_launch.for_tiles(vectors, is_plain=False)
        mirrored = self.block.candidates.mirrored
        tall = SIDE if vectors.is_half else SIDE // 2
        wide = tall if mirrored else SIDE
        room = queries.new_empty(min(tall, n) * min(wide, c))
        queries_grad, keys_grad = into
        if self.with_moments:
            self.moments = [queries.new_zeros(size, dtype=torch.float32) for size in (n, c)]
        for first_row in range(0, n, tall):
            for first_col in range(first_row if mirrored else 0, c, wide):
                height, width = min(tall, n - first_row), min(wide, c - first_col)
                out = room[: height * width].view(height, width)
                n_tiles = cdiv(height, sizes.height), cdiv(width, sizes.width)
                of_rows, of_cols = self._parts_of_moments((n_tiles[1], height), (n_tiles[0], width))
                # A block above the diagonal stands for its mirror image, too.
                halved = mirrored and first_row == first_col
                with torch.cuda.device_of(queries):
                    block_kernel[n_tiles](
                        *(queries, keys, *queries.stride(), *keys.stride(), *self.scales),
                        *(*self._factors(0.5 if halved else 1.0), out, of_rows, of_cols),
                        *(self.mask.leaves, first_row, first_col, height, width, n, m, c),
                        MASK=self.mask.coded,
                        FORM=self.block.form,
                        LENGTH=queries.shape[1],
                        **how(vectors, sizes),
                    )
                rows, cols = slice(first_row, first_row + height), slice(first_col, first_col + width)
                for moments, span, parts in zip(self.moments, (rows, cols), (of_rows, of_cols), strict=True):
                    if moments is not None and parts is not None:
                        moments[span].add_(parts.sum(0))
                if queries_grad is not None:
                    _add_product(queries_grad[rows], out, self.block.keys[cols])
                if keys_grad is not None:
                    _add_product(keys_grad[cols], out.T, self.block.queries[rows])

    def _add_rows(self, into: Float[Tensor, "n e"], *, turned: bool) -> None:
        """Add to the gradient of the queries or, if `turned`, of the keys."""
        from tellapart._engine.kernels.triton_backward import rows_kernel

        own, others = (self.vectors.queries, self.vectors.keys)[:: -1 if turned else 1]
        length = own.shape[1]
        padded = max(16, 1 << (length - 1).bit_length())
        sizes = triton_launch.for_rows(self.vectors, padded, is_plain=self.mask.is_plain)
        n_programs = cdiv(len(own), sizes.height)
        # Enough parts to keep the device busy, each with a few tiles at least.
        parts = min(cdiv(2 * triton_launch.processors(own.device), n_programs), cdiv(len(others), 4 * sizes.width))
        stretch = cdiv(cdiv(len(others), parts), sizes.width) * sizes.width
        parts = cdiv(len(others), stretch)
        is_added = parts == 1 and into.is_contiguous()
        out = into[None] if is_added else into.new_empty(parts, len(own), length)
        moments, _ = self._parts_of_moments((parts, len(own)), (0, 0))
        with torch.cuda.device_of(own):
            rows_kernel[n_programs, parts](
                *(own, others, *own.stride(), *others.stride(), *self.scales),
                *(*self._factors(0.5 if self.block.candidates.mirrored else 1.0), out, out.stride(0), moments),
                *(self.mask.leaves, stretch, len(own), len(others), *self.block.candidates[:3]),
                MASK=self.mask.coded,
                FORM=self.block.form,
                TURNED=turned,
                ADDED=is_added,
                LENGTH=length,
                PADDED=padded,
                PRECISION=self.vectors.precision,
                HEIGHT=sizes.height,
                WIDTH=sizes.width,
                **sizes.launch(),
            )
        if not is_added:
            into += out[0] if parts == 1 else out.sum(0)
        if moments is not None:
            self.moments[turned] = moments.sum(0)

    def _parts_of_moments(self, *shapes: tuple[int, int]) -> tuple[Tensor | None, ...]:
        """Room for what tiles add up to, if moments are wanted."""
        like = self.rows.factor
        return tuple(like.new_empty(shape) if self.with_moments else None for shape in shapes)

    def _factors(self, share: float) -> tuple[Tensor | None, ...]:
        """Factors and logarithms of the rows and of the columns."""
        factors: list[Tensor | None] = []
        by = share if self.power is None else share * self.power
        for side in (self.rows, self.cols):
            factors += (None, None) if side is None else (side.factor * by, side.log)
        return tuple(factors)


def _add_product(into: Tensor, gradient: Tensor, vectors: Tensor) -> None:
    """Add a product to a gradient in float32."""
    if gradient.dtype == torch.float32:
        into.addmm_(gradient, vectors)
    elif gradient.is_cuda:
        torch.addmm(into, gradient, vectors.to(gradient.dtype), out_dtype=torch.float32, out=into)
    else:
        into.addmm_(gradient.float(), vectors.to(gradient.dtype).float())
