"""One pass over the tiles of a block: product, mask, and the form in which scores are added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from tellapart._engine.kernels import pool
from tellapart._engine.kernels.accumulators import in_form
from tellapart._engine.kernels.grid import Grid, Tile
from tellapart._engine.kernels.interface import Block
from tellapart._engine.kernels.masks import Mask, Maxima

if TYPE_CHECKING:
    from jaxtyping import Float


class Scratch:
    """What one thread works in."""

    def __init__(self, size: int, like: Tensor) -> None:
        self.first, self.second = (like.new_empty(size) for _ in range(2))


class Pass:
    """One pass over a block's tiles."""

    def __init__(self, block: Block, columns: bool, height: int = 0, *, is_forward: bool = True) -> None:
        self.is_forward, self.block, self.scale = is_forward, block, float(block.scale)
        sizes = block.tiling.for_vectors(block.queries.shape[1])
        self.grid = Grid(block.candidates, block.queries.device, sizes, height)
        self.mask = Mask(self.grid)
        self.maxima = None
        if block.positives is not None:
            wanted = columns and not block.candidates.mirrored
            self.maxima = Maxima(self.grid, block.positives, wanted, block.queries, self.mask)

    def values(self, tile: Tile, out: Tensor) -> Float[Tensor, "r c"]:
        """The tile in the form in which it is added up, or that its gradient needs; computed in `out`."""
        block = self.block
        logits = out[: tile.size].view(tile.shape)
        logits.addmm_(block.queries[tile.rows], block.keys[tile.cols].T, beta=0, alpha=self.scale)
        places = None if self.maxima is None else self.maxima.of_positives(logits, tile)
        self.mask.apply(logits, tile)
        if self.maxima is not None:
            self.maxima.of_negatives(logits, tile, places)
        return logits.sigmoid_() if not self.is_forward and block.form == "softplus" else in_form(logits, block.form)

    def run(self, tiles: list[Tile], work: Callable[[Tile, Scratch], None], *, rows: bool, cols: bool) -> None:
        """Do the work of all tiles, which add to their rows, to their columns or to both; on the CPU in parallel."""
        size = max((tile.size for tile in tiles), default=0)
        shared = self.is_forward and self.block.candidates.mirrored
        pool.run(
            tiles,
            lambda tile: self.grid.accumulators(tile, rows=rows, cols=cols, shared=shared),
            work,
            lambda: Scratch(size, self.block.queries),
            parallel=self.block.queries.device.type == "cpu",
        )
