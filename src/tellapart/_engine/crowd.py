"""Who is summed over in a partition function, and where they stand in a matrix or in its tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart.relations import Pairs, is_boolean

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart.relations import Relation

_NEVER = float("-inf")


class Crowd(NamedTuple):
    """The candidates that a partition function sums over, of n queries and c candidates, m of them keys.

    All but the pairs of `left_out`; of the keys, only those in `among`, each counted by its weight there.
    """

    n: int
    m: int
    c: int
    left_out: tuple[Pairs, ...] = ()
    among: Relation | None = None
    mirrored: bool = False
    """Whether queries and keys are the same and (i, j) is left out exactly if (j, i) is."""

    def is_weighed(self) -> bool:
        """Whether candidates count by weights, and not all alike."""
        return self.among is not None and not is_boolean(self.among)


class Tile(NamedTuple):
    """A rectangle of the score matrix; `mirrored` if it also stands for its mirror image."""

    rows: slice
    cols: slice
    block: tuple[int, int]
    mirrored: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


class Grid:
    """The tiles of a crowd's score matrix. None holds both keys (the first m) and further negatives.

    If the crowd is mirrored, only tiles on and above the diagonal, which must be squares.
    """

    def __init__(self, crowd: Crowd, height: int, width: int) -> None:
        self.crowd, self.height, self.width = crowd, min(height, crowd.n), width
        self.key_blocks = -(-crowd.m // width)

    def bands(self) -> Iterator[list[Tile]]:
        """The tiles, band of rows by band of rows."""
        n, m, c, mirrored = self.crowd.n, self.crowd.m, self.crowd.c, self.crowd.mirrored
        blocks = [*_cuts(0, m, self.width), *_cuts(m, c, self.width)]
        for i, rows in enumerate(_cuts(0, n, self.height)):
            yield [
                Tile(rows, cols, (i, j), mirrored=mirrored and j > i)
                for j, cols in enumerate(blocks)
                if not mirrored or j >= i
            ]

    def tiles(self) -> Iterator[Tile]:
        """All tiles in order."""
        return (tile for band in self.bands() for tile in band)


class Marks:
    """Where listed pairs, or those of a relation, stand in the tiles of a grid."""

    def __init__(self, grid: Grid, marked: tuple[Pairs, ...] | Relation) -> None:
        self.grid = grid
        self.relation = None if isinstance(marked, tuple) else marked
        self.places: dict[tuple[int, int], Tensor] = {}
        if isinstance(marked, tuple) and marked:
            self._sort_into_tiles(
                torch.cat([pairs.rows for pairs in marked]), torch.cat([pairs.cols for pairs in marked])
            )

    def within(self, tile: Tile, device: torch.device) -> Int[Tensor, " p"] | None:
        """Their places in the tile, counted along its rows, or `None` if there are none."""
        if self.relation is None:
            return self.places.get(tile.block)
        if tile.cols.start >= self.grid.crowd.m:
            return None
        return (self.relation.tile(tile.rows, tile.cols, device) > 0).reshape(-1).nonzero()[:, 0]

    def _sort_into_tiles(self, rows: Tensor, cols: Tensor) -> None:
        grid, m = self.grid, self.grid.crowd.m
        row_block, col_block = rows // grid.height, cols // grid.width
        width = (m - col_block * grid.width).clamp(max=grid.width)
        places = (rows - row_block * grid.height) * width + cols - col_block * grid.width
        order = (number := row_block * grid.key_blocks + col_block).argsort(stable=True)
        numbers, counts = number[order].unique_consecutive(return_counts=True)
        parts = places[order].split(counts.tolist())
        self.places = {divmod(n, grid.key_blocks): part for n, part in zip(numbers.tolist(), parts, strict=True)}


class Sieve:
    """Leaves out, in the tiles of a grid, whom the crowd leaves out."""

    def __init__(self, grid: Grid) -> None:
        self.crowd, self.left_out = grid.crowd, Marks(grid, grid.crowd.left_out)

    def apply(self, logits: Float[Tensor, "r c"], tile: Tile) -> None:
        """Set the logits of those left out to −∞, and add the logarithm of the others' weights, in place."""
        if (places := self.left_out.within(tile, logits.device)) is not None:
            logits.view(-1).index_fill_(0, places, _NEVER)
        if self.crowd.among is not None and tile.cols.start < self.crowd.m:
            weights = self.crowd.among.tile(tile.rows, tile.cols, logits.device)
            if weights.dtype == torch.bool:
                logits.masked_fill_(~weights, _NEVER)
            else:
                logits.add_(weights.to(logits.dtype).log())


class Tops:
    """The best positive's and the hardest negative's logit of each query and, with `columns`, of each key."""

    def __init__(self, positives: tuple[Pairs, ...] | Relation, columns: bool) -> None:
        self.positives, self.columns = positives, columns

    def begin(self, grid: Grid, like: Tensor) -> None:
        """Prepare for one walk over the grid's tiles."""
        crowd = grid.crowd
        self.grid, self.marks = grid, Marks(grid, self.positives)
        self.positive = [like.new_full((size,), _NEVER) for size in (crowd.n, crowd.m)]
        self.negative = [like.new_full((size,), _NEVER) for size in (crowd.n, crowd.m)]

    def before(self, logits: Float[Tensor, "r c"], tile: Tile) -> None:
        """See the tile before anyone is left out."""
        self._places = self.marks.within(tile, logits.device)
        if self._places is None:
            return
        values = logits.view(-1)[self._places]
        for side, places in self._sides(tile, self._places // tile.shape[1], self._places % tile.shape[1]):
            side_tops = self.positive[side]
            side_tops.scatter_reduce_(0, places, values, "amax")

    def after(self, logits: Float[Tensor, "r c"], tile: Tile) -> None:
        """See the tile when those who do not stand in the line-up are gone."""
        if self._places is not None:
            logits = logits.clone()
            logits.view(-1).index_fill_(0, self._places, _NEVER)
        for side, span, dim in self._spans(tile):
            torch.maximum(self.negative[side][span], logits.amax(dim), out=self.negative[side][span])

    def _spans(self, tile: Tile) -> Iterator[tuple[int, slice, int]]:
        """Whose tops the tile's rows and columns are: which side, where, and along which dimension."""
        yield 0, tile.rows, 1
        if tile.mirrored:
            yield 0, tile.cols, 0
        elif self.columns and tile.cols.start < self.grid.crowd.m:
            yield 1, tile.cols, 0

    def _sides(self, tile: Tile, rows: Tensor, cols: Tensor) -> Iterator[tuple[int, Tensor]]:
        for side, span, dim in self._spans(tile):
            yield side, (rows if dim == 1 else cols) + span.start


def _cuts(start: int, stop: int, step: int) -> Iterator[slice]:
    return (slice(at, min(at + step, stop)) for at in range(start, stop, step))
