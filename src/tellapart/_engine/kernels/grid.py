"""The tiles of a score matrix, in an order in which neighbours in time add to different rows and columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

    from tellapart._engine.candidates import Candidates


@dataclass(frozen=True)
class Tiling:
    """How score matrices are cut, and what of them is kept; every number is of float32 scores on the CPU."""

    height: int = 512
    width: int = 512
    """Together 1 MiB: between product, exponential and sums a tile stays in the cache of its core."""
    long_from: int = 256
    """Length of vectors from which tiles are half as high and wide again: a tile's products need its vectors in cache,
    and more so than its scores."""
    least_height: int = 64
    """Of the tiles of few rows, which are as many times wider, so that there are bands for several threads."""
    band_height: int = 512
    """Rows of a band, with all scores kept while its gradient is formed."""
    band_bytes: int = 2**24
    """Of the scores of one band at most, in each thread; bands lower than half of `least_height` are not worth it."""
    keep_from: int = 192
    """Length of the shortest vectors for which scores are kept: shorter ones are multiplied again in less time."""
    elsewhere: int = 4
    """By what height and width are multiplied on other devices, which pay for launches and have no such cache."""

    def for_vectors(self, length: int) -> Tiling:
        """The same for vectors of that length.

        >>> Tiling().for_vectors(128).width, Tiling().for_vectors(512).width
        (512, 768)
        """
        if length < self.long_from:
            return self
        return replace(self, height=self.height * 3 // 2, width=self.width * 3 // 2)

    def size_for(self, most: int, n: int, n_bands: int) -> int:
        """The height, or width, of about equal bands of n rows, or columns: several bands, unless they get too low."""
        size = min(most, max(-(-n // n_bands), self.least_height), max(1, n))
        return -(-n // -(-n // size)) if n else 1


LEAST_BANDS = 4
_USUAL = Tiling()
_tiling: ContextVar[Tiling] = ContextVar("tellapart_tiling", default=_USUAL)


def tiling() -> Tiling:
    """How score matrices are cut at present.

    >>> tiling().width
    512
    """
    return _tiling.get()


@contextmanager
def tiled(**changes: int) -> Iterator[None]:
    """Cut score matrices otherwise inside the `with` block, as tests do that want many tiles of a small matrix.

    >>> with tiled(height=2, width=3):
    ...     tiling().height
    2
    """
    token = _tiling.set(replace(_tiling.get(), **changes))
    try:
        yield
    finally:
        _tiling.reset(token)


class Tile(NamedTuple):
    """A rectangle of the score matrix; `mirrored` if it also represents its mirror image."""

    rows: slice
    cols: slice
    block: tuple[int, int]
    is_keys: bool
    """Whether its columns are keys, and not further negatives."""
    mirrored: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    @property
    def size(self) -> int:
        """How many scores it has."""
        return self.shape[0] * self.shape[1]


class Grid:
    """The tiles of a score matrix. None holds both keys (the first m columns) and further negatives.

    Of a symmetric matrix, only the tiles on and above the diagonal, which are squares.
    """

    def __init__(self, candidates: Candidates, device: torch.device, sizes: Tiling, height: int = 0) -> None:
        times, (n, m, c) = 1 if device.type == "cpu" else sizes.elsewhere, candidates[:3]
        self.candidates = candidates
        area = times**2 * sizes.height * sizes.width
        if candidates.mirrored:
            self.height = self.width = sizes.size_for(times * sizes.width, n, 2 * LEAST_BANDS)
        else:
            self.height = height or sizes.size_for(times * sizes.height, n, LEAST_BANDS)
            self.width = sizes.size_for(max(1, area // self.height), m, LEAST_BANDS)
        self.row_spans = _cuts(0, n, self.height)
        key_spans = _cuts(0, m, self.width)
        self.key_blocks = len(key_spans)
        self.col_spans = [*key_spans, *_cuts(m, c, max(1, area // self.height))]

    def tile(self, i: int, j: int) -> Tile:
        """The tile in the i-th band of rows and the j-th band of columns."""
        mirrored = self.candidates.mirrored and i != j
        return Tile(self.row_spans[i], self.col_spans[j], (i, j), j < self.key_blocks, mirrored)

    def band(self, i: int) -> list[Tile]:
        """All tiles of a band of rows."""
        return [self.tile(i, j) for j in range(len(self.col_spans))]

    def tiles(self) -> list[Tile]:
        """All tiles, such that those of one step share neither rows nor columns.

        In step s these are (i, i + s mod N); of a symmetric matrix they are the s-th round of a tournament, in which
        every band of rows meets every other one once.
        """
        if self.candidates.mirrored:
            return [self.tile(*sorted(pair)) for pair in _tournament(len(self.row_spans))]
        n_rows, n_cols = len(self.row_spans), len(self.col_spans)
        n = max(n_rows, n_cols)
        places = ((i, (i + step) % n) for step in range(n) for i in range(n_rows))
        return [self.tile(i, j) for i, j in places if j < n_cols]

    def accumulators(self, tile: Tile, *, rows: bool, cols: bool, shared: bool = False) -> tuple[int, ...]:
        """Numbers for the bands of rows and of columns that a tile adds to; `shared`: columns are rows again."""
        (i, j), first_col = tile.block, 0 if shared else len(self.row_spans)
        return (*([i] if rows else []), *([first_col + j] if cols else []))


def _cuts(start: int, stop: int, step: int) -> list[slice]:
    return [slice(at, min(at + step, stop)) for at in range(start, stop, step)]


def _tournament(n: int) -> Iterator[tuple[int, int]]:
    """Each of n numbers with itself, then rounds in which it meets each other number once (the circle method)."""
    yield from ((i, i) for i in range(n))
    last = n - 1 + n % 2  # of an even number of players; with an odd n the last one pauses
    for turn in range(last):
        pairs = [(last, turn)] if last < n else []
        pairs += [((turn + k) % last, (turn - k) % last) for k in range(1, (last + 1) // 2)]
        yield from pairs
