"""The kernel of plain torch operations: tile by tile, on the CPU several tiles at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tellapart._engine.kernels.accumulators import LogitGrad, OnlineSum, write_logit_grad
from tellapart._engine.kernels.fused import band_height, fused_pass, height_for
from tellapart._engine.kernels.grid import Tile
from tellapart._engine.kernels.interface import Block, FusedRequest, FusedResult, KeptTiles, Sums
from tellapart._engine.kernels.passes import Pass, Scratch
from tellapart._room import room_for

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class TorchTiles:
    """Every block that torch can multiply. A tile is a product, a mask, exponentials and two sums, all in cache."""

    name = "torch_tiles"

    def supports(self, block: Block) -> str | None:
        """`None`: there is no block that it cannot compute."""
        return None if block.queries.is_floating_point() else f"{block.queries.dtype} has no exponential"

    def forward(self, block: Block, *, columns: bool, keep: int) -> Sums:
        """The sums over a block, each tile computed once for its rows and its columns."""
        pass_ = Pass(block, columns)
        candidates, like = block.candidates, block.queries
        rows = OnlineSum(candidates.n, like, block.form)
        cols = OnlineSum(candidates.m, like, block.form) if columns and not candidates.mirrored else None
        sums = Sums(rows, cols)
        tiles = pass_.grid.tiles()
        places = _places_of(tiles, keep)
        room = room_for(max((place.stop for place in places.values()), default=0), like)

        def work(tile: Tile, scratch: Scratch) -> None:
            place = places.get(tile.block)
            values = pass_.values(tile, scratch.first if place is None else room[place])
            rows.add(values, tile.rows, 1, scratch.second)
            if tile.mirrored:
                rows.add(values, tile.cols, 0, scratch.second)
            elif cols is not None and tile.is_keys:
                cols.add(values, tile.cols, 0, scratch.second)
            if place is not None:
                sums.kept[tile.block] = values

        pass_.run(tiles, work, rows=True, cols=columns or candidates.mirrored)
        if pass_.maxima is not None:
            sums.row_maxima, sums.col_maxima = pass_.maxima.rows, pass_.maxima.cols
        return sums

    def backward(
        self,
        block: Block,
        kept: KeptTiles,
        row_grad: LogitGrad,
        col_grad: LogitGrad | None,
        into: tuple[Float[Tensor, "n e"] | None, Float[Tensor, "c e"] | None],
        *,
        moments: bool = False,  # noqa: ARG002 - gradients are as exact as the vectors
    ) -> None:
        """Add `scale · G K` and `scale · Gᵀ Q`, from the tiles that were kept and others computed again."""
        pass_ = Pass(block._replace(positives=None), columns=col_grad is not None, is_forward=False)
        queries, keys, scale = block.queries, block.keys, pass_.scale
        queries_grad, keys_grad = into

        def work(tile: Tile, scratch: Scratch) -> None:
            values = kept.get(tile.block)
            if values is None:
                values = pass_.values(tile, scratch.first)
            # Of a symmetric matrix a tile's columns are rows again; further negatives have no sum of their own.
            other = row_grad if tile.mirrored else col_grad if tile.is_keys else None
            out = scratch.second[: tile.size].view(tile.shape)
            write_logit_grad(values, row_grad.at(tile.rows, 1), None if other is None else other.at(tile.cols, 0), out)
            if queries_grad is not None:
                queries_grad[tile.rows].addmm_(out, keys[tile.cols], alpha=scale)
            if keys_grad is not None:
                keys_grad[tile.cols].addmm_(out.T, queries[tile.rows], alpha=scale)

        pass_.run(pass_.grid.tiles(), work, rows=queries_grad is not None, cols=keys_grad is not None)

    def fuses(self, block: Block) -> bool:
        """Whether a band of rows worth its while fits into the room for its scores."""
        return band_height(block) > 0

    def fused(self, block: Block, request: FusedRequest) -> FusedResult:
        """A band of rows at a time; that its scores are not computed again saves a product."""
        return fused_pass(Pass(block, columns=False, height=height_for(block, request)), request)


def _places_of(tiles: list[Tile], most: int) -> dict[tuple[int, int], slice]:
    """Where the first tiles' scores stay, as far as they fit into room for so many."""
    places, start = {}, 0
    for tile in tiles:
        if start + tile.size > most:
            break
        places[tile.block] = slice(start, start := start + tile.size)
    return places
