"""Sums and their gradient in one pass: a band of rows keeps its scores until its gradient is formed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


def fused_pass(pass_: Pass, request: FusedRequest) -> FusedResult:
    """Row sums of a block and their gradients, band by band; see `FusedRequest` for what they hold for.

    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart._engine.kernels.grid import tiling
    >>> block = Block(torch.zeros(2, 1), torch.ones(3, 1), 1.0, Candidates(2, 3, 3), "exp", tiling())
    >>> fused_pass(Pass(block, False, 2), FusedRequest(torch.zeros(2), None, True, False)).queries_grad
    tensor([[1.],
            [1.]])
    """
    block, grid = pass_.block, pass_.grid
    queries, keys, scale = block.queries, block.keys, pass_.scale
    sums = OnlineSum(block.candidates.n, queries, block.form)
    log_z, expected = torch.empty_like(request.reference), torch.ones_like(request.reference)
    queries_grad = torch.empty_like(queries) if request.needs_queries else None
    keys_grad = torch.zeros_like(keys) if request.needs_keys else None
    turns = _Turns(len(grid.col_spans))

    def work(band: int, scratch: _Band) -> None:
        tiles, rows = grid.band(band), grid.row_spans[band]
        values = [pass_.values(tile, scratch.of(number, tile)) for number, tile in enumerate(tiles)]
        for made in values:
            sums.add(made, rows, 1, scratch.work)
        log_z[rows] = sums.value(request.reference[rows], rows)
        # Per unit of ∂L/∂log Z_i the queries' gradient is known now. The keys' adds up over queries, so that it takes
        # what ∂L/∂log Z_i will be, but for a common factor.
        if request.rest is not None:
            share = log_z[rows] - torch.logaddexp(log_z[rows], request.rest[rows])
            expected[rows] = share.exp_().nan_to_num_(0)
        unit_grad = sums.logit_grad(torch.ones_like(log_z[rows]), rows)
        factor = unit_grad.factor[:, None]
        if unit_grad.log is not None:
            for made in values:
                made.sub_(unit_grad.log[:, None]).exp_()
        if queries_grad is not None:
            own = queries_grad[rows].zero_()
            for tile, made in zip(tiles, values, strict=True):
                own.addmm_(made, keys[tile.cols], alpha=scale)
            own.mul_(factor)
        if keys_grad is not None:
            weighted = queries[rows] * (factor * expected[rows, None])
            for number, (tile, made) in enumerate(zip(tiles, values, strict=True)):
                with turns.of(number, band):
                    keys_grad[tile.cols].addmm_(made.T, weighted, alpha=scale)

    bands, on_cpu = range(len(grid.row_spans)), queries.device.type == "cpu"
    pool.run(bands, lambda _: (), turns.guarded(work), lambda: _Band(grid, queries), parallel=on_cpu)
    maxima = None if pass_.maxima is None else pass_.maxima.rows
    return FusedResult(log_z, sums, expected, queries_grad, keys_grad, maxima)


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
