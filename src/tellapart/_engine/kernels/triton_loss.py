"""The loss by Triton, from embeddings on, with one launch for each step.

What follows from shapes and kinds alone is planned once: a card waits for the host where queries are few.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart._engine.kernels.triton_calls import Operands
from tellapart._engine.kernels.triton_launch import Sizes, Vectors, cdiv, power_from
from tellapart._engine.kernels.triton_masks import TileMask
from tellapart._engine.kernels.triton_plan import Plan, kind_of, plan_for

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_ROWS = 64
"""Losses that a program forms."""


class Problem(NamedTuple):
    """What is constant: the positives and candidates, and what scores are."""

    mask: TileMask
    several: TileMask | None
    """Positives of which a query may have several, or none: `log Z` is of all candidates, and nothing symmetric."""
    told: TileMask | None
    """Where largest logits are wanted: the several positives, or all but each query's only one."""
    positive_of: Int[Tensor, " n"] | None
    """Each query's positive, and in turn that key's query. `None`: query i has key i."""
    m: int
    """Keys. Further candidates stand behind them."""
    cosine: bool
    symmetric: bool
    mirrored: bool
    """Whether the keys are the queries, and one half of the scores tells all."""

    def losses(
        self, given: Given, share: float, precision: str
    ) -> tuple[Float[Tensor, " losses"], Kept, Float[Tensor, "2 losses"] | None]:
        """`softplus(log Z⁻ − S⁺)` of each query and, of a symmetric loss, of each key behind them.

        With them comes what backward needs. `share` is multiplied into `Kept.weights`: 1/n for a mean. Of several
        positives losses are `log Z − ΣS⁺/|P|`, and no share is multiplied. If they are wanted,
        the largest logits of positives, and of negatives, are the third.
        """
        queries = given.queries
        n, like = queries.shape[0], queries.new_empty(0, dtype=torch.float32)
        with torch.cuda.device_of(queries):
            plan = plan_for(("forward", *self.kinds(given, precision)))
            positives, row_scale, key_scale = _begin(self, given, like, plan)
            # It may be the result, which can be written to: nothing else shares its memory.
            each = like.new_empty(n + self.m if self.symmetric else n)
            weights, logs = like.new_empty(2, *each.shape).unbind(0)
            shares = None if self.several is None else torch.empty_like(weights)
            kept = Kept(positives, weights, logs, row_scale, key_scale, shares)
            tops = None if self.told is None else like.new_full((2, *each.shape), -torch.inf)
            own_tops = tops[0] if tops is not None and self.several is None else None
            operands = self.operands(given, kept, precision, plan)
            layout: _Layout = plan.kept("layout", lambda: _Layout.of(self, operands))
            tall, n_cols = layout.tall, layout.n_cols
            n_kinds = self.n_kinds
            of_rows = like.new_empty(n_kinds, layout.wide_tiles, tall)
            of_cols = like.new_empty(n_kinds, layout.high_tiles, n_cols) if n_cols else None
            running = like.new_empty(n_kinds, n_cols) if n > tall and n_cols else None
            for first in range(0, n, tall):
                height = min(tall, n - first)
                if height < tall:
                    of_rows = like.new_empty(n_kinds, layout.wide_tiles, height)
                operands.sums(self.told, (first, height), layout.sizes, of_rows, of_cols, own_tops)
                n_tiles = cdiv(height, layout.sizes.height)
                _take_in(operands, kept, (each, share), (first, height, n_tiles), (of_rows, of_cols, running))
                if tops is not None:
                    found = tops if self.several is not None else tops[1:]
                    _raise(found[:, first : first + height], of_rows)
                    if of_cols is not None:
                        _raise(found if self.mirrored else found[:, n:], of_cols)
            if tops is not None and self.symmetric:
                tops[0, n:] = tops[0, :n]  # of one positive each a key has the logit that its query has
        return each, kept, tops

    def operands(self, given: Given, kept: Kept, precision: str, plan: Plan) -> Operands:
        """What kernels of tiles read."""
        queries, keys, _ = given
        scales = kept.row_scale, kept.row_scale.ndim, kept.key_scale
        sizes = queries.shape[0], self.m, keys.shape[0]
        vectors = Vectors.made(queries, keys, precision)
        return Operands(vectors, scales, self.mask, *sizes, "logits", self.mirrored, plan, self.several)

    @property
    def n_kinds(self) -> int:
        """Of what a tile comes to: exponentials, their shift; of several positives logits, number; largest logits."""
        n_sums = 2 if self.several is None else 4
        return n_sums if self.told is None else n_sums + n_sums // 2

    def kinds(self, given: Given, precision: str) -> tuple[Hashable, ...]:
        """All that kernels are compiled for, as far as these tensors tell."""
        queries, keys, temperature = given
        return (
            queries.device,
            (queries.dtype, queries.shape, queries.stride(), queries.data_ptr() % 16),
            (keys.shape, keys.stride(), keys.data_ptr() % 16),
            kind_of(temperature),
            *(() if x is None else (x.expression, *map(kind_of, x.leaves)) for x in self[:3]),
            None if self.positive_of is None else kind_of(self.positive_of),
            self[4:],
            precision,
        )


class Given(NamedTuple):
    """Queries and all candidates, and the temperature."""

    queries: Float[Tensor, "n d"]
    keys: Float[Tensor, "c d"]
    temperature: float | Tensor


class Kept(NamedTuple):
    """What the backward pass needs of the forward pass."""

    positives: Float[Tensor, " n"] | None
    """The logit of each query's only positive."""
    weights: Float[Tensor, " losses"]
    """A share of `∂L/∂log Z⁻` of each query and, of a symmetric loss, of each key; of `∂L/∂log Z` with several."""
    logs: Float[Tensor, " losses"]
    """`log Z⁻` of the same, over all candidates but the positive; with several, over all candidates."""
    row_scale: Tensor
    key_scale: Tensor | None
    shares: Float[Tensor, " n"] | None
    """`−∂L/∂S⁺` of each of a query's several positives."""


class _Layout(NamedTuple):
    """Tiles, rows of a band, its tiles along columns and along rows, and the number of columns that are added up."""

    sizes: Sizes
    tall: int
    wide_tiles: int
    high_tiles: int
    n_cols: int

    @classmethod
    def of(cls, problem: Problem, operands: Operands) -> _Layout:
        n, c, sizes = operands.n, operands.c, operands.tiles()
        tall = sizes.band(n, c, problem.n_kinds)
        n_cols = c if problem.mirrored else problem.m if problem.symmetric else 0
        return cls(sizes, tall, cdiv(c, sizes.width), cdiv(tall, sizes.height), n_cols)


def _begin(problem: Problem, given: Given, like: Tensor, plan: Plan) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """The logits of positives that are one each, and what products are multiplied by."""
    from tellapart._engine.kernels.triton_ends import begin_kernel

    queries, keys, temperature = given
    (n, length), c, cosine = queries.shape, keys.shape[0], problem.cosine
    positives = None if problem.several is not None else like.new_empty(n)
    row_scale, key_scale = like.new_empty(n if cosine else ()), like.new_empty(c) if cosine else None
    height = 16
    plan.launch(
        "begin",
        (
            *(queries, keys, *queries.stride(), *keys.stride(), problem.positive_of, temperature),
            *(row_scale, key_scale, positives, n, c),
        ),
        lambda: (
            begin_kernel,
            (cdiv(max(n, c) if cosine else n, height),),
            {
                "LEARNED": isinstance(temperature, Tensor),
                "LENGTH": length,
                "STEP": min(256, power_from(length)),
                "HEIGHT": height,
            },
            {},
        ),
    )
    return positives, row_scale, key_scale


def _take_in(
    operands: Operands,
    kept: Kept,
    losses_and_share: tuple[Tensor, float],
    band: tuple[int, int, int],
    parts: tuple[Float[Tensor, "k t h"], Float[Tensor, "k t m"] | None, Float[Tensor, "k m"] | None],
) -> None:
    """Losses from what the tiles of a band add up to: its first row, its height and its tiles along it."""
    from tellapart._engine.kernels.triton_ends import losses_kernel

    (first, height, n_tiles), (of_rows, of_cols, running) = band, parts
    each, share = losses_and_share
    _, wide_tiles, size = of_rows.shape
    n_cols, col_kind = (0, 0) if of_cols is None else (of_cols.shape[2], of_cols.stride(0))
    is_first, is_last = first == 0, first + height == operands.n
    operands.plan.launch(
        ("losses", height, is_first, is_last),
        (
            *(of_rows, wide_tiles * size, wide_tiles, first, height),
            *(of_cols, col_kind, n_tiles, n_cols, running),
            *(kept.positives, each, kept.weights, kept.logs, kept.shares, operands.n, share),
        ),
        lambda: (
            losses_kernel,
            ((0 if operands.mirrored else cdiv(height, _ROWS)) + cdiv(n_cols, _ROWS),),
            {"MIRRORED": operands.mirrored, "FIRST": is_first, "LAST": is_last, "HEIGHT": _ROWS, "SOME": 32},
            {},
        ),
    )


def _raise(tops: Float[Tensor, "tops own"], parts: Float[Tensor, "k t own"]) -> None:
    """Take in the largest logits of tiles."""
    torch.maximum(tops, parts[-len(tops) :].amax(1), out=tops)
