"""Where a tile's entries are left out of the sum, and where its positives are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.relations import Pairs

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart._engine.kernels.grid import Grid, Tile
    from tellapart.relations import Relation

MASKED = float("-inf")


class TiledPairs:
    """Listed pairs, or those of a relation, tile by tile of a grid."""

    def __init__(self, grid: Grid, pairs: tuple[Pairs, ...] | Relation) -> None:
        self.grid = grid
        self.relation = None if isinstance(pairs, tuple) else pairs
        self.places: dict[tuple[int, int], Tensor] = {}
        if isinstance(pairs, tuple) and pairs:
            self._sort_into_tiles(torch.cat([part.rows for part in pairs]), torch.cat([part.cols for part in pairs]))

    def within(self, tile: Tile, device: torch.device) -> Int[Tensor, " p"] | None:
        """Their places in the tile, counted along its rows, or `None` if there are none."""
        if self.relation is None:
            return self.places.get(tile.block)
        if not tile.is_keys:
            return None
        return (self.relation.tile(tile.rows, tile.cols, device) > 0).reshape(-1).nonzero()[:, 0]

    def _sort_into_tiles(self, rows: Tensor, cols: Tensor) -> None:
        grid, m = self.grid, self.grid.candidates.m
        row_block, col_block = rows // grid.height, cols // grid.width
        width = (m - col_block * grid.width).clamp(max=grid.width)
        places = (rows - row_block * grid.height) * width + cols - col_block * grid.width
        order = (number := row_block * grid.key_blocks + col_block).argsort(stable=True)
        numbers, counts = number[order].unique_consecutive(return_counts=True)
        parts = places[order].split(counts.tolist())
        self.places = {divmod(n, grid.key_blocks): part for n, part in zip(numbers.tolist(), parts, strict=True)}


class Mask:
    """Leaves out of tiles what the candidates leave out, and adds the logarithms of the others' weights."""

    def __init__(self, grid: Grid) -> None:
        self.left_out, self.among = TiledPairs(grid, grid.candidates.left_out), grid.candidates.among

    def apply(self, logits: Float[Tensor, "r c"], tile: Tile) -> None:
        """Set masked logits to −∞, in place."""
        if (places := self.left_out.within(tile, logits.device)) is not None:
            logits.view(-1).index_fill_(0, places, MASKED)
        if self.among is None or not tile.is_keys:
            return
        weights = self.among.tile(tile.rows, tile.cols, logits.device)
        if weights.dtype == torch.bool:
            logits.masked_fill_(~weights, MASKED)
        else:
            logits.add_(weights.to(logits.dtype).log())


class Maxima:
    """The largest logit of the positives and of the negatives, of each row and, with `columns`, of each key."""

    def __init__(
        self, grid: Grid, positives: tuple[Pairs, ...] | Relation, columns: bool, like: Tensor, mask: Mask
    ) -> None:
        left_out = grid.candidates.left_out
        # Positives that are taken out of the sum are found, and masked, already.
        self.are_masked = isinstance(positives, tuple) and tuple(map(id, positives)) == tuple(map(id, left_out))
        self.pairs = mask.left_out if self.are_masked else TiledPairs(grid, positives)
        self.columns = columns
        self.rows, self.cols = (
            like.new_full((size, 2), MASKED) for size in (grid.candidates.n, grid.candidates.m if columns else 0)
        )

    def of_positives(self, logits: Float[Tensor, "r c"], tile: Tile) -> Tensor | None:
        """Take in a tile's positives, before anything is masked; their places, for `of_negatives`."""
        places = self.pairs.within(tile, logits.device)
        if places is not None:
            values, width = logits.view(-1)[places], tile.shape[1]
            for kept, span, dim in self._sides(tile):
                kept[span, 0].scatter_reduce_(0, places // width if dim == 1 else places % width, values, "amax")
        return places

    def of_negatives(self, logits: Float[Tensor, "r c"], tile: Tile, places: Tensor | None) -> None:
        """Take in a tile's negatives, once what is no candidate is masked."""
        if places is not None and not self.are_masked:
            logits = logits.clone()
            logits.view(-1).index_fill_(0, places, MASKED)
        for kept, span, dim in self._sides(tile):
            torch.maximum(kept[span, 1], logits.amax(dim), out=kept[span, 1])

    def _sides(self, tile: Tile) -> list[tuple[Tensor, slice, int]]:
        sides = [(self.rows, tile.rows, 1)]
        if tile.mirrored:
            sides.append((self.rows, tile.cols, 0))
        elif self.columns and tile.is_keys:
            sides.append((self.cols, tile.cols, 0))
        return sides
