"""How much memory a loss takes, computed from its sizes alone."""

from __future__ import annotations

import torch

from tellapart._engine.candidates import Candidates
from tellapart._engine.crossover import is_whole
from tellapart._engine.kernels.fused import band_height
from tellapart._engine.kernels.grid import Grid, tiling
from tellapart._engine.kernels.interface import Block
from tellapart._engine.streamed import room_for_scores


def is_streamed(n: int, c: int) -> bool:
    """Whether `engine="auto"` streams the scores of n queries and c candidates on a processor.

    >>> is_streamed(1024, 1024), is_streamed(1024, 2048)
    (False, True)
    """
    return not is_whole(n, c, torch.device("cpu"))


def whole_bytes(n: int, c: int, *, symmetric: bool = False, mirrored: bool = False) -> int:
    """Bytes of the whole n×c matrices that the plain formula holds at its worst moment, in float32.

    Three: the scores or their gradient, the log-probabilities, the gradient of these. A symmetric loss has
    log-probabilities in both directions; where queries are keys there is a mask, a byte an entry.

    >>> whole_bytes(1024, 1024) / 2**20
    12.0
    """
    return n * c * (4 * (3 + symmetric) + mirrored)


def streamed_bytes(n: int, c: int, d: int, *, one_way: bool = False, mirrored: bool = False) -> int:
    """Bytes that the streamed loss holds beyond its inputs and their gradients, in float32 on a processor.

    Unit vectors; then scores, kept for the backward pass as far as the budget goes, and for each thread two tiles to
    work in; or the gradients of the unit vectors. `one_way`: the keys need no gradient, so that the
    queries' is formed in the forward pass. `mirrored`: the queries are the keys.

    >>> streamed_bytes(32768, 32768, 512) / 2**20 < 1200
    True
    """
    candidates, like = Candidates(n, c, c, mirrored=mirrored), torch.empty(0, d)
    grid = Grid(candidates, like.device, tiling().for_vectors(d))
    vector, threads = 4 * d, torch.get_num_threads()
    units = vector * (n if mirrored else n + c)
    work = 4 * grid.height * grid.width
    block = Block(like, like, 1.0, candidates, "exp", tiling())
    if one_way and band_height(block):
        return units + 2 * threads * work + vector * n
    scores = n * c
    if mirrored:  # the tiles on and above the diagonal
        whole, rest = divmod(n, grid.width)
        scores = (scores + whole * grid.width**2 + rest**2) // 2
    # The gradients of unit vectors become those of the inputs when tiles and scores are gone. Vectors that are queries
    # and keys have one as either, and their sum.
    scratch = 2 * threads * work + 4 * min(scores, room_for_scores(like))
    return units + (max(scratch + units, 3 * units) if mirrored else max(scratch, units))
