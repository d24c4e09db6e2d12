"""How the Triton kernels are called for a block of scores: with what they read, and tiles of a device's sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from tellapart._engine.kernels import triton_launch, triton_masks
from tellapart._engine.kernels.triton_launch import Sizes, Vectors, cdiv, how, rounded, scales_of
from tellapart._engine.kernels.triton_masks import TileMask
from tellapart._engine.kernels.triton_plan import Plan

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart._engine.kernels.accumulators import Form
    from tellapart._engine.kernels.interface import Block

Sides = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""Factors and logarithms of the rows, and of the columns: see `LogitGrad`.

Behind them stands what each of several positives has of a row's loss, and of a column's.
"""
Near = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""The smallest and the largest of all these logarithms, and the factors of rows and columns, each times `exp(largest −
log)`: where logarithms are near each other, these take one exponential a score. Or nothing.
"""
FAR: Near = (None,) * 4


class Operands(NamedTuple):
    """What the scores of a block are made of, and what counts of them."""

    vectors: Vectors
    scales: tuple[Tensor, int, Tensor | None]
    """As `triton_launch.scales_of` gives them."""
    mask: TileMask
    n: int
    m: int
    c: int
    form: Form
    mirrored: bool
    plan: Plan
    several: TileMask | None = None
    """Positives of which a query may have several: their sums go with the others', and they count in gradients."""

    @classmethod
    def of(cls, block: Block) -> Operands:
        """Those of a block."""
        mask = triton_masks.of_candidates(block.candidates, block.queries.device)
        n, m, c, *_, mirrored = block.candidates
        return cls(Vectors.of(block), scales_of(block), mask, n, m, c, block.form, mirrored, Plan())

    def tiles(self) -> Sizes:
        """Sizes of the tiles that are added up; those of a symmetric matrix are squares."""
        return triton_launch.for_tiles(self.vectors, is_square=self.mirrored, is_full=self.is_full)

    @property
    def is_full(self) -> bool:
        """Whether tiles hold more than their scores: several positives, or products for a mask."""
        return self.several is not None or self.mask.has_products

    def read(self) -> tuple[Tensor | int | None, ...]:
        """The first arguments of kernels of tiles."""
        queries, keys, _ = self.vectors
        return queries, keys, *queries.stride(), *keys.stride(), self.scales[0], self.scales[2]

    def constants(self) -> dict[str, Any]:
        """For what all of them are compiled."""
        length = self.vectors.queries.shape[1]
        return {"MASK": self.mask.coded, "FORM": self.form, "EACH": bool(self.scales[1]), "LENGTH": length}

    def positive_leaves(self) -> tuple[Tensor | int, ...]:
        """What several positives are told by."""
        return () if self.several is None else self.several.leaves

    def coded_positives(self) -> triton_masks.Coded | None:
        """The expression of several positives, as kernels read it."""
        return None if self.several is None else self.several.coded

    def sums(
        self,
        positives: TileMask | None,
        band: tuple[int, int],
        sizes: Sizes,
        of_rows: Float[Tensor, "kinds t h"],
        of_cols: Float[Tensor, "kinds t m"] | None,
        own_tops: Float[Tensor, " n"] | None = None,
    ) -> None:
        """Write what the tiles of a band of rows, from its first one on and so many, add up to.

        With positives the largest logits, too. With a place for `own_tops` each query has one positive, and its logit
        goes there: then "positives" are all other keys.
        """
        from tellapart._engine.kernels.triton_forward import sums_kernel

        first, height = band
        told = self.several or positives
        self.plan.launch(
            ("sums", height),
            (
                *self.read(),
                *(of_rows, of_cols, own_tops, of_rows.stride(0), 0 if of_cols is None else of_cols.stride(0)),
                *(self.mask.leaves, () if told is None else told.leaves),
                *(first, height, self.n, self.m, self.c),
            ),
            lambda: (
                sums_kernel,
                # In one dimension: the second one of a grid has 65,535 places.
                (cdiv(height, sizes.height) * cdiv(self.c, sizes.width),),
                {
                    **self.constants(),
                    "POSITIVES": None if told is None else told.coded,
                    "SEVERAL": self.several is not None,
                    "TOPS": positives is not None,
                    "MIRRORED": self.mirrored,
                    **how(self.vectors, sizes),
                },
                sizes.launch(),
            ),
        )

    def gradient_block(
        self,
        sides: Sides,
        first: tuple[int, int],
        sizes: Sizes,
        out: Split,
        moments: tuple[Tensor | None, Tensor | None],
        share: float = 1.0,
    ) -> None:
        """Write the block of `scale · G` that begins at the first row and column, and moments if they have a place.

        With one place alone it is for one number a tile, of which a share is written.
        """
        from tellapart._engine.kernels.triton_backward import block_kernel

        height, width = out.most.shape
        self.plan.launch(
            ("block", height, width),
            (
                *self.read(),
                *(*sides, *out, *moments, share),
                *(self.mask.leaves, self.positive_leaves(), *first, height, width, self.n, self.m, self.c),
            ),
            lambda: (
                block_kernel,
                (cdiv(height, sizes.height), cdiv(width, sizes.width)),
                {
                    **self.constants(),
                    "POSITIVES": self.coded_positives(),
                    "WEIGHTED": self.mask.is_weighted,
                    **how(self.vectors, sizes),
                },
                sizes.launch(),
            ),
        )

    def gradient_rows(
        self,
        sides: Sides,
        near: Near,
        stretches: Stretches,
        out: Float[Tensor, "parts own e"],
        moments: Tensor | None,
        *,
        turned: bool,
        of_each: bool = False,
        added: bool = False,
        share: float = 1.0,
    ) -> None:
        """Write parts of `scale · Σ_j G_ij v_j` of the queries or, if `turned`, of as many keys as `out` has room for.

        Moments are `(parts, own)` if `of_each` own vector, else `(parts, programs)`: a share of a program's sum.
        """
        from tellapart._engine.kernels.triton_rows import rows_kernel

        own, others = (self.vectors.queries, self.vectors.keys)[:: -1 if turned else 1]
        n_own, n_others, sizes = out.shape[1], others.shape[0], stretches.sizes
        self.plan.launch(
            ("rows", turned),
            (
                *(own, others, *own.stride(), *others.stride(), self.scales[0], self.scales[2]),
                *(*sides[:4], *near, *sides[4:], out, out.stride(0), moments, share),
                *(self.mask.leaves, self.positive_leaves(), stretches.length, n_own, n_others, self.n, self.m, self.c),
            ),
            lambda: (
                rows_kernel,
                (stretches.n_programs, stretches.n_parts),
                {
                    **self.constants(),
                    "POSITIVES": self.coded_positives(),
                    "TURNED": turned,
                    "ADDED": added,
                    "OF_EACH": of_each,
                    "LOCAL": self.mask.is_local,
                    "WEIGHTED": self.mask.is_weighted,
                    "PADDED": triton_launch.power_from(own.shape[1]),
                    "PRECISION": self.vectors.precision,
                    "HEIGHT": sizes.height,
                    "WIDTH": sizes.width,
                },
                sizes.launch(),
            ),
        )


class Stretches(NamedTuple):
    """How the gradient of some vectors is cut: programs with rows of their own, and stretches of the other side."""

    sizes: Sizes
    n_programs: int
    n_parts: int
    length: int

    @classmethod
    def of(cls, operands: Operands, n_own: int, n_others: int) -> Stretches:
        """Enough of them to keep a device busy, each with a few tiles at least."""
        padded = triton_launch.power_from(operands.vectors.queries.shape[1])
        how = {"is_plain": operands.mask.is_plain, "is_full": operands.is_full}
        sizes = triton_launch.for_rows(operands.vectors, padded, **how)
        n_programs = cdiv(n_own, sizes.height)
        busy = 2 * triton_launch.chip(operands.vectors.queries.device).processors
        parts = min(cdiv(busy, n_programs), cdiv(n_others, 4 * sizes.width))
        length = cdiv(cdiv(n_others, parts), sizes.width) * sizes.width
        return cls(sizes, n_programs, cdiv(n_others, length), length)


_SWITCH = Lock()


@contextmanager
def _products_in_tf32() -> Iterator[None]:
    """Allow TF32 for the moment. The switch is the whole process's, and backward has a thread for each device."""
    with _SWITCH:
        before = torch.backends.cuda.matmul.fp32_precision
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        try:
            yield
        finally:
            torch.backends.cuda.matmul.fp32_precision = before


class Split(NamedTuple):
    """A factor of products; one in float32 that TF32 alone would not hold is split in two that it does."""

    most: Tensor
    rest: Tensor | None = None

    @classmethod
    def of(cls, vectors: Tensor, precision: str) -> Split:
        """Vectors as they are, or split where products in float32 are made of TF32.

        >>> Split.of(torch.tensor([1 + 2**-12]), "tf32x3").most.tolist()
        [1.0]
        """
        if precision != "tf32x3":
            return cls(vectors)
        most = rounded(vectors)
        return cls(most, rounded(vectors - most))

    @classmethod
    def room(cls, like: Tensor, size: int, precision: str) -> Split:
        """Room for so many numbers."""
        return cls(like.new_empty(size), like.new_empty(size) if precision == "tf32x3" else None)

    def cut(self, height: int, width: int) -> Split:
        """The first of them as a matrix."""
        size = height * width
        rest = None if self.rest is None else self.rest[:size].view(height, width)
        return Split(self.most[:size].view(height, width), rest)

    def rows(self, rows: slice) -> Split:
        """Some rows of a matrix."""
        return Split(self.most[rows], None if self.rest is None else self.rest[rows])

    @property
    def T(self) -> Split:  # noqa: N802 - as of tensors
        """The transposed factor."""
        return Split(self.most.T, None if self.rest is None else self.rest.T)

    def add_product(self, right: Split, into: Tensor, *, is_first: bool = False) -> None:
        """Add the product with another factor to a gradient in float32, or write it if it is the first.

        That of two split factors is three products in TF32, whatever torch allows. What they leave out is as small as
        the rounding of float32, in which a library's product takes twice as long.

        >>> into = torch.ones(1, 1)
        >>> Split(torch.tensor([[2.0]])).add_product(Split(torch.tensor([[3.0]])), into)
        >>> into
        tensor([[7.]])
        """
        beta = 0 if is_first else 1
        if self.rest is not None and right.rest is not None:
            with _products_in_tf32():
                into.addmm_(self.rest, right.most, beta=beta)
                into.addmm_(self.most, right.rest).addmm_(self.most, right.most)
        elif self.most.dtype == torch.float32:
            into.addmm_(self.most, right.most, beta=beta)
        elif self.most.is_cuda:
            torch.addmm(into, self.most, right.most, beta=beta, out_dtype=torch.float32, out=into)
        else:
            into.addmm_(self.most.float(), right.most.float(), beta=beta)
