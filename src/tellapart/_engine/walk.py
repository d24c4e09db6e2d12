"""One walk over the tiles of a score matrix: their sums and, walking again, their share of the gradient."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from tellapart._engine.crowd import Grid, Sieve, Tile, Tops

if TYPE_CHECKING:
    from jaxtyping import Float


T = TypeVar("T")


class LogSum:
    """A logsumexp per row, or per column, that grows tile by tile: `log(total) + top`.

    Of exponentials that are known to be bounded, `total` is the plain sum and `top` stays 0.
    """

    def __init__(self, size: int, like: Tensor, bounded: bool) -> None:
        self.bounded = bounded
        # Finite, so that a crowd of nobody gives exp(−∞ − top) = 0 and not NaN.
        self.top = like.new_full((size,), 0.0 if bounded else torch.finfo(like.dtype).min / 4)
        self.total = like.new_zeros(size)

    def add(self, scores: Tensor, span: slice, dim: int, ones: Tensor, scratch: Tensor) -> None:
        """Count in a tile: of exponentials if bounded, else of logits."""
        total = self.total[span]
        if not self.bounded:
            old = self.top[span]
            new = torch.maximum(old, scores.amax(dim))
            scores = torch.sub(scores, new.unsqueeze(dim), out=scratch[: scores.numel()].view_as(scores)).exp_()
            total.mul_((old - new).exp_())
            self.top[span] = new
        total.addmv_(scores if dim == 1 else scores.T, ones[: scores.shape[dim]])

    def log(self, minus: Float[Tensor, " n"] | None = None) -> Float[Tensor, " n"]:
        """What it has come to, less `minus`; −∞ where nothing was counted in."""
        if minus is None or not self.bounded:
            return self.total.log() + (self.top if minus is None else self.top - minus)
        # Two large numbers that cancel: their exponentials keep the digits, where they can be had.
        rounded, exact = self.total.log() - minus, (self.total * (-minus).exp()).log()
        return torch.where(rounded.abs() < 0.5 * math.log(torch.finfo(minus.dtype).max), exact, rounded)


class Shares:
    """What the upstream gradients g of `log Z` make of a tile: `G_ij = g_i exp(S_ij − log Z_i)`."""

    def __init__(self, factor: Float[Tensor, " n"], log: Float[Tensor, " n"], bounded: bool) -> None:
        self.factor, self.log, self.bounded = factor, log, bounded

    @classmethod
    def of(cls, gradient: Float[Tensor, " n"], sums: LogSum) -> Shares:
        """Those of gradients g of what `sums` have come to."""
        nobody = sums.total == 0
        factor = (gradient / sums.total if sums.bounded else gradient).masked_fill(nobody, 0)
        return cls(factor, sums.top if sums.bounded else sums.log().masked_fill(nobody, 0), sums.bounded)

    def write(self, scores: Tensor, tile: Tile, cols: Shares | None, out: Tensor) -> None:
        """Write G to `out`, of rows and of columns if they ask too; `scores` as for `LogSum.add`."""
        factor = self.factor[tile.rows, None]
        if not self.bounded:
            torch.sub(scores, self.log[tile.rows, None], out=out).exp_().mul_(factor)
            if cols is not None:
                out.addcmul_((scores - cols.log[tile.cols]).exp_(), cols.factor[None, tile.cols])
        elif cols is None:
            torch.mul(scores, factor, out=out)
        else:
            torch.add(factor, cols.factor[tile.cols], out=out).mul_(scores)


class Walk:
    """The tiles of `scale · queries keysᵀ`, made one by one in the same place."""

    def __init__(
        self,
        queries: Tensor,
        keys: Tensor,
        scale: float,
        grid: Grid,
        *,
        bounded: bool = False,
        tops: Tops | None = None,
    ) -> None:
        self.queries, self.keys, self.scale = queries, keys, scale
        self.grid, self.bounded, self.tops = grid, bounded, tops
        self.sieve = Sieve(grid)
        self.buffer, self.scratch = (queries.new_empty(grid.height * grid.width) for _ in range(2))
        self.ones = queries.new_ones(max(grid.height, grid.width))
        if tops is not None:
            tops.begin(grid, queries)

    def scores(self, tile: Tile, out: Tensor | None = None) -> Float[Tensor, "r c"]:
        """The tile's exponentials if bounded, else its logits; 0 or −∞ for those left out."""
        out = self.buffer if out is None else out
        out = out[: tile.shape[0] * tile.shape[1]].view(tile.shape)
        out.addmm_(self.queries[tile.rows], self.keys[tile.cols].T, beta=0, alpha=self.scale)
        if self.tops is not None:
            self.tops.before(out, tile)
        self.sieve.apply(out, tile)
        if self.tops is not None:
            self.tops.after(out, tile)
        return out.exp_() if self.bounded else out

    def count(self, scores: Tensor, tile: Tile, rows: LogSum, cols: LogSum | None) -> None:
        """Count the tile in for its rows and, where they ask too, its columns."""
        rows.add(scores, tile.rows, 1, self.ones, self.scratch)
        if (cols := self._of_columns(tile, rows, cols)) is not None:
            cols.add(scores, tile.cols, 0, self.ones, self.scratch)

    def shares(self, scores: Tensor, tile: Tile, rows: Shares, cols: Shares | None) -> Float[Tensor, "r c"]:
        """The tile of G, the loss's gradient by the logits, in a place of its own."""
        out = self.scratch[: scores.numel()].view_as(scores)
        rows.write(scores, tile, self._of_columns(tile, rows, cols), out)
        return out

    def spread(self, shares: Tensor, tile: Tile, to: list[Tensor | None], queries: Tensor) -> None:
        """Add the tile's part of `G K` to the queries' gradient and of `Gᵀ Q` to the keys', where wanted."""
        if to[0] is not None:
            to[0][tile.rows].addmm_(shares, self.keys[tile.cols], alpha=self.scale)
        if to[1] is not None:
            to[1][tile.cols].addmm_(shares.T, queries[tile.rows], alpha=self.scale)

    def _of_columns(self, tile: Tile, rows: T, cols: T | None) -> T | None:
        """Who speaks for a tile's columns: rows again in a mirror image, nobody for negatives that do not ask."""
        if tile.mirrored:
            return rows
        return cols if tile.cols.start < self.grid.crowd.m else None
