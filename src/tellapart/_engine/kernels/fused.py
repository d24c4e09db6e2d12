"""Sums and their gradient in one pass over a band of rows, which keeps its scores if the keys' gradient needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from tellapart._engine.kernels import pool
from tellapart._engine.kernels.accumulators import OnlineSum
from tellapart._engine.kernels.grid import LEAST_BANDS, Grid, Tile
from tellapart._engine.kernels.interface import Block, FusedRequest, FusedResult
from tellapart._engine.kernels.passes import Pass


def band_height(block: Block) -> int:
    """How many rows of scores can be kept while their gradient is formed; 0 if too few to be worth it.

    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart._engine.kernels.grid import tiling
    >>> blocks = (Block(torch.empty(0), torch.empty(0), 1.0, Candidates(9, c, c), "exp", tiling()) for c in (9, 10**6))
    >>> [band_height(block) for block in blocks]
    [9, 0]
    """
    sizes, candidates = block.tiling, block.candidates
    most = sizes.size_for(sizes.band_height, candidates.n, LEAST_BANDS)
    height = min(most, sizes.band_bytes // (block.queries.element_size() * max(1, candidates.c)))
    return (
        min(height, candidates.n)
        if 2 * height >= min(sizes.least_height, candidates.n) and not candidates.mirrored
        else 0
    )


def keeps_band(block: Block, request: FusedRequest) -> bool:
    """Whether a band's scores have to stay until its sums are known.

    The queries' gradient alone is a sum of exponentials, and is divided by Z at the end.

    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart._engine.kernels.grid import tiling
    >>> block = Block(torch.zeros(2, 1), torch.ones(3, 1), 1.0, Candidates(2, 3, 3), "exp", tiling())
    >>> [keeps_band(block, FusedRequest(torch.zeros(2), None, True, needs_keys)) for needs_keys in (False, True)]
    [False, True]
    """
    return request.needs_keys or block.form != "exp"


def height_for(block: Block, request: FusedRequest) -> int:
    """How many rows a fused pass takes at a time.

    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart._engine.kernels.grid import tiling
    >>> block = Block(torch.zeros(2, 1), torch.ones(3, 1), 1.0, Candidates(2, 3, 3), "exp", tiling())
    >>> height_for(block, FusedRequest(torch.zeros(2), None, True, True))
    2
    """
    sizes, n = block.tiling, block.candidates.n
    return band_height(block) if keeps_band(block, request) else sizes.size_for(sizes.band_height, n, LEAST_BANDS)


def fused_pass(pass_: Pass, request: FusedRequest) -> FusedResult:
    """Row sums of a block and their gradients, band by band; see `FusedRequest` for what they hold for.

    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart._engine.kernels.grid import tiling
    >>> block = Block(torch.zeros(2, 1), torch.ones(3, 1), 1.0, Candidates(2, 3, 3), "exp", tiling())
    >>> fused_pass(Pass(block, False, 2), FusedRequest(torch.zeros(2), None, True, False)).queries_grad
    tensor([[1.],
            [1.]])
    """
    made = _Fused(pass_, request)
    bands, on_cpu = range(len(pass_.grid.row_spans)), pass_.block.queries.device.type == "cpu"
    room = partial(_Band, pass_.grid, pass_.block.queries)
    pool.run(bands, lambda _: (), made.turns.guarded(made.work), room, parallel=on_cpu)
    maxima = None if pass_.maxima is None else pass_.maxima.rows
    return FusedResult(made.log_z, made.sums, made.expected, made.queries_grad, made.keys_grad, maxima)


class _Fused:
    """What a fused pass comes to."""

    def __init__(self, pass_: Pass, request: FusedRequest) -> None:
        block = pass_.block
        self.pass_, self.request, self.keeps_band = pass_, request, keeps_band(block, request)
        self.sums = OnlineSum(block.candidates.n, block.queries, block.form)
        self.log_z, self.expected = torch.empty_like(request.reference), torch.ones_like(request.reference)
        self.queries_grad = torch.zeros_like(block.queries) if request.needs_queries else None
        self.keys_grad = torch.zeros_like(block.keys) if request.needs_keys else None
        self.turns = _Turns(len(pass_.grid.col_spans))

    def work(self, band: int, scratch: _Band) -> None:
        """The sums of a band of rows, and what it adds to both gradients."""
        tiles, rows = self.pass_.grid.band(band), self.pass_.grid.row_spans[band]
        kept = self._sum_up(tiles, rows, scratch)
        self.log_z[rows] = self.sums.value(self.request.reference[rows], rows)
        # Per unit of ∂L/∂log Z_i the queries' gradient is known now. The keys' adds up over queries, so that it takes
        # what ∂L/∂log Z_i will be, but for a common factor.
        if self.request.rest is not None:
            share = self.log_z[rows] - torch.logaddexp(self.log_z[rows], self.request.rest[rows])
            self.expected[rows] = share.exp_().nan_to_num_(0)
        unit_grad = self.sums.logit_grad(torch.ones_like(self.log_z[rows]), rows)
        if unit_grad.log is not None:
            for values in kept:
                values.sub_(unit_grad.log[:, None]).exp_()
        factor = unit_grad.factor[:, None]
        for tile, values in zip(tiles, kept, strict=False):
            self._add_to_queries(tile, values)
        if self.queries_grad is not None:
            self.queries_grad[rows].mul_(factor)
        if self.keys_grad is not None:
            weighted = self.pass_.block.queries[rows] * (factor * self.expected[rows, None])
            for number, (tile, values) in enumerate(zip(tiles, kept, strict=True)):
                with self.turns.of(number, band):
                    self.keys_grad[tile.cols].addmm_(values.T, weighted, alpha=self.pass_.scale)

    def _sum_up(self, tiles: list[Tile], rows: slice, scratch: _Band) -> list[Tensor]:
        """Add up a band's tiles. Those that need not stay are added to the queries' gradient at once."""
        kept = []
        for number, tile in enumerate(tiles):
            values = self.pass_.values(tile, scratch.of(number, tile) if self.keeps_band else scratch.work)
            self.sums.add(values, rows, 1, scratch.work)
            if self.keeps_band:
                kept.append(values)
            else:
                self._add_to_queries(tile, values)
        return kept

    def _add_to_queries(self, tile: Tile, values: Tensor) -> None:
        if self.queries_grad is not None:
            keys = self.pass_.block.keys[tile.cols]
            self.queries_grad[tile.rows].addmm_(values, keys, alpha=self.pass_.scale)


class _Band:
    """What one thread works in: the scores of a band of rows, in tiles, and one more tile."""

    def __init__(self, grid: Grid, like: Tensor) -> None:
        widest = max(span.stop - span.start for span in grid.col_spans)
        self.height, self.like = grid.height, like
        self.tiles, self.work = list[Tensor](), like.new_empty(grid.height * widest)

    def of(self, number: int, tile: Tile) -> Tensor:
        """Room for the band's tile of that number."""
        if number == len(self.tiles):
            self.tiles.append(self.like.new_empty(self.height * tile.shape[1]))
        return self.tiles[number]


class _Turns:
    """Lets bands add to the same columns in the order of the bands; the pool begins them in that order."""

    def __init__(self, n_columns: int) -> None:
        self.next, self.failed, self.condition = [0] * n_columns, False, threading.Condition()

    @contextmanager
    def of(self, column: int, band: int) -> Iterator[None]:
        """Wait until all bands before this one have added to the column."""
        with self.condition:
            self.condition.wait_for(lambda: self.next[column] == band or self.failed)
        if self.failed:
            raise pool.Stopped
        yield
        with self.condition:
            self.next[column] += 1
            self.condition.notify_all()

    def guarded(self, work: Callable[[int, _Band], None]) -> Callable[[int, _Band], None]:
        """The same work; if one band fails, none waits for it."""

        def guarded(band: int, scratch: _Band) -> None:
            try:
                work(band, scratch)
            except BaseException:
                with self.condition:
                    self.failed = True
                    self.condition.notify_all()
                raise

        return guarded
