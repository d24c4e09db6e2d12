"""How much memory a line-up takes, told from its sizes alone."""

from __future__ import annotations

import torch

from tellapart._engine.crowd import Crowd
from tellapart._engine.engine import CROSSOVER
from tellapart._engine.stream import band_height, grid_for, room_for_scores


def is_streamed(n: int, c: int) -> bool:
    """Whether `engine="auto"` streams the scores of n queries and c candidates.

    >>> is_streamed(1024, 1024), is_streamed(1024, 2048)
    (False, True)
    """
    return n * c > CROSSOVER


def whole_bytes(n: int, c: int, *, symmetric: bool = False, mirrored: bool = False) -> int:
    """Bytes of the whole n×c matrices that the plain formula holds at its worst moment, in float32.

    Three: the scores or their gradient, the log-probabilities, the gradient of these. A symmetric loss has
    log-probabilities in both directions; one whose queries are keys has a mask, a byte an entry.

    >>> whole_bytes(1024, 1024) / 2**20
    12.0
    """
    return n * c * (4 * (3 + symmetric) + mirrored)


def streamed_bytes(n: int, c: int, d: int, *, one_way: bool = False, mirrored: bool = False) -> int:
    """Bytes that the streamed loss holds beyond its inputs and their gradients, in float32 on a processor.

    Unit vectors; then tiles of scores, kept for the backward pass as far as the budget goes, or the gradients
    of the unit vectors; two tiles to work in. `one_way`: the keys need no gradient, so that the queries' is
    formed in the forward pass, band by band. `mirrored`: the queries are the keys.

    >>> streamed_bytes(32768, 32768, 512) / 2**20
    1156.0
    """
    crowd, like = Crowd(n, c, c, mirrored=mirrored), torch.empty(0, d)
    grid, vector = grid_for(crowd, like), 4 * d
    units = vector * (n if mirrored else n + c)
    work = 2 * 4 * grid.height * grid.width
    if one_way and (height := band_height(crowd, like)):
        return units + work + 4 * height * c + vector * n
    scores = n * c
    if mirrored:  # the tiles on and above the diagonal
        whole, rest = divmod(n, grid.width)
        scores = (scores + whole * grid.width**2 + rest**2) // 2
    return units + work + max(4 * min(scores, room_for_scores(like)), units)
