"""The gradients of the loss by Triton: see `triton_loss.py`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart._engine.kernels import triton_gradient, triton_launch
from tellapart._engine.kernels.triton_calls import FAR, Near, Split, Stretches
from tellapart._engine.kernels.triton_launch import Sizes, cdiv, power_from
from tellapart._engine.kernels.triton_loss import Given, Kept, Problem
from tellapart._engine.kernels.triton_plan import kind_of, plan_for

if TYPE_CHECKING:
    from jaxtyping import Float

MOST_FEATURES = 4096
"""Of vectors: a program finishes a whole gradient in registers."""
LOW = 4096
"""Rows of a block of `G` for more than `SIDE` queries: 64 MiB in half precision."""


class Wanted(NamedTuple):
    """Which gradients are wanted: of the queries, of how many keys from the first one on, of the temperature."""

    queries: bool
    n_keys: int
    temperature: bool


class Gradients:
    """The gradients of one loss; sums are in float32.

    The upstream gradient is one number, or one of each loss. The precision is the forward pass's.
    """

    def __init__(
        self, problem: Problem, given: Given, kept: Kept, gradient: Tensor, wanted: Wanted, precision: str
    ) -> None:
        n = given.queries.shape[0]
        self.problem, self.given, self.kept, self.wanted = problem, given, kept, wanted
        self.vectors = given.queries, given.keys
        # The gradient by `log Z` of the negatives; a positive's logit has minus those of its query and its key.
        self.upstream = None if gradient.ndim else gradient
        self.factors = gradient * kept.weights if gradient.ndim else kept.weights
        shares = gradient * kept.shares if gradient.ndim and kept.shares is not None else kept.shares
        # Saved tensors may come back with other strides: their kinds are looked at anew.
        kinds = kind_of(self.upstream), *map(kind_of, kept), *problem.kinds(given, precision)
        self.plan = plan_for(("backward", wanted, *kinds))
        self.operands = problem.operands(given, kept, precision, self.plan)
        self.row_factor, row_log = self.factors, kept.logs
        self.col_factor = col_log = None
        if problem.symmetric:
            self.row_factor, self.col_factor = self.factors[:n], self.factors[n:]
            row_log, col_log = row_log[:n], row_log[n:]
        elif problem.mirrored:
            self.col_factor, col_log = self.row_factor, row_log
        col_shares = shares if problem.mirrored else None
        self.sides = self.row_factor, row_log, self.col_factor, col_log, shares, col_shares
        self.moments: list[Tensor] = []

    def formed(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Those that are wanted, in the vectors' dtype; of a mirrored problem the queries' is of both sides."""
        with torch.cuda.device_of(self.given.queries):
            if triton_launch.keeps_rows(self.operands.vectors):
                of_queries, of_keys = self.by_rows()
            elif self.problem.mirrored:
                of_queries, of_keys = self.by_mirrored_blocks(), None
            else:
                of_queries, of_keys = self.by_blocks()
            return of_queries, of_keys, self.of_temperature()

    def by_rows(self) -> tuple[Tensor | None, Tensor | None]:
        """Each program keeps the gradient of some vectors and streams those of the other side."""
        of_queries = of_keys = None
        if self.wanted.queries or self.wanted.temperature:
            sums = self._rows(self.operands.n, turned=False)
            of_queries = self._finished(sums, turned=False) if self.wanted.queries else None
        if self.wanted.n_keys:
            of_keys = self._finished(self._rows(self.wanted.n_keys, turned=True), turned=True)
        return of_queries, of_keys

    @cached_property
    def near(self) -> Near:
        """What one exponential a score takes, where rows and columns have one each."""
        if self.col_factor is None:
            return FAR
        low, top = self.kept.logs.aminmax()
        factors = (top - self.kept.logs).exp_().mul_(self.factors)
        n = self.operands.n
        return low, top, *((factors[:n], factors[n:]) if self.problem.symmetric else (factors, factors))

    def _rows(self, n_own: int, *, turned: bool) -> Float[Tensor, "parts own d"]:
        n_others = self.operands.n if turned else self.operands.c
        stretches: Stretches = self.plan.kept(turned, lambda: Stretches.of(self.operands, n_own, n_others))
        out = self.factors.new_empty(stretches.n_parts, n_own, self.vectors[0].shape[1])
        moments = None
        if self.wanted.temperature and not turned:
            moments = self._room_for_moments(stretches.n_parts, stretches.n_programs)
        share = 0.5 if self.problem.mirrored else 1.0  # each score of a mirrored problem has two entries in G
        self.operands.gradient_rows(self.sides, self.near, stretches, out, moments, turned=turned, share=share)
        return out

    def by_blocks(self) -> tuple[Tensor | None, Tensor | None]:
        """A block of `G` is written, and library products add it to both gradients; queries are finished by band."""
        operands, n_keys = self.operands, self.wanted.n_keys
        n, c, length = operands.n, operands.c, self.vectors[0].shape[1]
        tall, wide = self._sides_of_blocks()
        factors = self._split(), Split.room(operands.vectors.queries, min(tall, n) * min(wide, c), self.precision)
        of_queries = self.vectors[0].new_empty(n, length) if self.wanted.queries else None
        band = self.factors.new_empty(1, min(tall, n), length) if self.wanted.queries else None
        of_keys = self.factors.new_empty(1, n_keys, length) if n_keys else None
        for first in range(0, n, tall):
            rows = slice(first, min(n, first + tall))
            self._add_band(factors, rows, wide, band, of_keys)
            if band is not None:
                self._finish(band[:, : rows.stop - first], of_queries, first, turned=False)
        del factors
        return of_queries, None if of_keys is None else self._finished(of_keys, turned=True)

    def _add_band(
        self,
        factors: tuple[tuple[Split, Split], Split],
        rows: slice,
        wide: int,
        band: Float[Tensor, "1 h d"] | None,
        of_keys: Float[Tensor, "1 own d"] | None,
    ) -> None:
        """Write the sums of some queries, and add theirs to those of the keys."""
        (queries, keys), room = factors
        for left in range(0, self.operands.c, wide):
            cols = slice(left, min(self.operands.c, left + wide))
            block = self._block(room, rows, cols)
            if band is not None:
                block.add_product(keys.rows(cols), band[0, : rows.stop - rows.start], is_first=left == 0)
            if of_keys is not None and left < of_keys.shape[1]:
                own = slice(left, min(of_keys.shape[1], cols.stop))
                theirs = block.T.rows(slice(own.stop - left))
                theirs.add_product(queries.rows(rows), of_keys[0, own], is_first=rows.start == 0)

    def by_mirrored_blocks(self) -> Tensor | None:
        """The same of a symmetric matrix: a block above the diagonal stands for its mirror image, too."""
        n, side = self.operands.n, min(self._sides_of_blocks())
        queries, _ = self._split()
        room = Split.room(self.operands.vectors.queries, min(side, n) ** 2, self.precision)
        sums = self.factors.new_zeros(1, n, self.vectors[0].shape[1])
        for first in range(0, n, side):
            rows = slice(first, min(n, first + side))
            for left in range(first, n, side):
                cols = slice(left, min(n, left + side))
                block = self._block(room, rows, cols, share=0.5 if left == first else 1.0)
                block.add_product(queries.rows(cols), sums[0, rows])
                if left > first:
                    block.T.add_product(queries.rows(rows), sums[0, cols])
        del room, block
        return self._finished(sums, turned=False) if self.wanted.queries else None

    @property
    def precision(self) -> str:
        """Of products in float32."""
        return self.operands.vectors.precision

    def _split(self) -> tuple[Split, Split]:
        """Queries and keys as factors of products."""
        queries, keys = self.vectors
        made = Split.of(queries, self.precision)
        return made, made if keys is queries else Split.of(keys, self.precision)

    def _block(self, room: Split, rows: slice, cols: slice, share: float = 1.0) -> Split:
        height, width = rows.stop - rows.start, cols.stop - cols.start
        block = room.cut(height, width)
        sizes: Sizes = self.plan.kept("sizes", self.operands.tiles)
        moments = None
        if self.wanted.temperature:
            moments = self._room_for_moments(cdiv(height, sizes.height), cdiv(width, sizes.width))
        first = rows.start, cols.start
        self.operands.gradient_block(self.sides, first, sizes, block, (moments, None), share)
        return block

    def _sides_of_blocks(self) -> tuple[int, int]:
        side = triton_gradient.SIDE if self.operands.vectors.is_half else triton_gradient.SIDE // 2
        return (side if self.operands.n <= side else min(side, LOW)), triton_gradient.SIDE

    def _room_for_moments(self, *shape: int) -> Tensor:
        self.moments.append(self.factors.new_empty(shape))
        return self.moments[-1]

    def _finished(self, sums: Float[Tensor, "parts own d"], *, turned: bool) -> Float[Tensor, "own d"]:
        out = self.vectors[0].new_empty(sums.shape[1:])
        self._finish(sums, out, 0, turned=turned)
        return out

    def _finish(self, sums: Float[Tensor, "parts own d"], out: Tensor | None, first: int, *, turned: bool) -> None:
        """Write the gradient of the vectors from the first one on: the positives' part and the length's added."""
        from tellapart._engine.kernels.triton_ends import end_kernel

        assert out is not None
        kept, length = self.kept, sums.shape[2]
        own, others = self.vectors[:: -1 if turned else 1]
        is_one_each = self.problem.several is None
        factors = (self.row_factor, self.col_factor)[:: -1 if turned else 1] if is_one_each else (None, None)
        both: tuple[tuple[Tensor | None, int], ...] = ((kept.row_scale, kept.row_scale.ndim), (kept.key_scale, 1))
        scales = both[:: -1 if turned and self.problem.cosine else 1]
        n_parts, n_own, _ = sums.shape
        self.plan.launch(
            ("end", turned, n_own),
            (
                *(sums, n_own * length, n_parts, own, others, *own.stride(), *others.stride()),
                *(self.problem.positive_of, *factors, *scales[0], *scales[1]),
                *(self.upstream, out, first, n_own, self.operands.n if is_one_each else 0),
            ),
            lambda: (
                end_kernel,
                (cdiv(n_own, _height(length)),),
                {
                    "COSINE": self.problem.cosine,
                    "LENGTH": length,
                    "PADDED": power_from(length),
                    "HEIGHT": _height(length),
                },
                {},
            ),
        )

    def of_temperature(self) -> Tensor | None:
        """`∂L/∂τ`, from one sum over all scores."""
        from tellapart._engine.kernels.triton_ends import temperature_kernel

        temperature = self.given.temperature
        if not self.wanted.temperature or not isinstance(temperature, Tensor):
            return None
        out = torch.empty_like(temperature)
        moments = self.moments[0] if len(self.moments) == 1 else torch.cat([x.view(-1) for x in self.moments])
        self.plan.launch(
            "temperature",
            (
                *(moments, moments.numel(), self.factors, self.factors.numel()),
                *(self.kept.positives, self.operands.n),
                *(temperature, self.upstream, out),
            ),
            lambda: (temperature_kernel, (1,), {"WIDTH": 4096}, {"num_warps": 16}),
        )
        return out


def _height(length: int) -> int:
    """How many gradients a program finishes."""
    return max(1, 4096 // power_from(length))
