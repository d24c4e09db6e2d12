"""Train on a stretch of text, with several threads: in step, for the same bits with any number of them, or Hogwild."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from tellapart.skip_gram import block as blocks
from tellapart.skip_gram.block import PARTS, Block, Problem, Scratch, Vectors
from tellapart.skip_gram.counters import PATIENCE, read, rest, take, write
from tellapart.skip_gram.hashing import mix
from tellapart.skip_gram.noise import Noise
from tellapart.skip_gram.windows import windows_of

if TYPE_CHECKING:
    from jaxtyping import Int32, UInt64

MOST_NEGATIVES = 100
SAMPLED = 128
"""Of so many windows the loss of one is computed while training."""
LINE = 16  # counters that far from each other are in cache lines of their own


class Measured(NamedTuple):
    """What a stretch of text turned out to be."""

    loss: float
    """The mean over words of windows, while training those of every 128th window, in nats."""
    accuracy: float
    """Of how many of these words the positive has the largest score."""
    windows: int


@dataclass(frozen=True, eq=False)
class SkipGram:
    """How to train; `vectors` are changed in place.

    Args:
        vectors: input and output vectors.
        noise: what negatives are drawn from.
        keep: the probability with which subsampling keeps each word, in units of 2⁻³².
        softmax: InfoNCE; otherwise SGNS.
        negatives: K, at most 100.
        radius: words on either side of a window, at most.
        threads: how many compute; in step two at most.
        hogwild: let threads add to vectors without regard for each other, each block by itself. Bits then depend on
            chance; there is no waiting.
    """

    vectors: Vectors
    noise: Noise
    keep: UInt64[np.ndarray, " v"]
    softmax: bool
    negatives: int
    radius: int
    threads: int = 1
    hogwild: bool = False

    def train(self, ids: Int32[np.ndarray, " t"], start: int, seed: int, rates: tuple[float, float]) -> Measured:
        """Train on a stretch of text, once.

        Args:
            ids: words; below 0 where a line ends.
            start: the place of the first in the corpus.
            seed: of this pass over the corpus; with the place it decides what is drawn.
            rates: the learning rate, falling linearly from the first word to the last.
        """
        slope = (rates[1] - rates[0]) / max(len(ids), 1)
        return self._run(ids, start, seed, SAMPLED, rates[0], slope)

    def measure(self, ids: Int32[np.ndarray, " t"], seed: int) -> Measured:
        """The loss of all windows of a text, without training on it: the learning rate is 0."""
        return self._run(ids, 0, seed, 1, 0.0, 0.0)

    def _run(
        self, ids: Int32[np.ndarray, " t"], start: int, seed: int, every: int, rate: float, slope: float
    ) -> Measured:
        run = _blocks if self.hogwild or self._n_threads == 1 else _in_step
        key = np.uint64(mix(np.uint64(seed)))  # as it is: with a signed key numba would compute in floats
        windows = windows_of(ids, start, int(key), self.keep, self.radius)
        losses = np.zeros((-(-len(windows.words) // every), 3))
        problem = Problem(self.vectors, windows, self.noise, key, self.softmax, self.radius, every, losses)
        counters = np.zeros(2 * PARTS * LINE, np.int64)
        how = start, np.float32(rate), np.float32(slope), counters

        def work(thread: int) -> None:
            run(problem, self._scratch[thread], *how, thread, self._n_threads)

        for own in self._scratch:
            own.ready[:] = 0
        with ThreadPoolExecutor(self._n_threads) as pool:
            list(pool.map(work, range(self._n_threads)))  # raises what a thread raised
        total, n, right = losses.sum(axis=0).tolist()
        return Measured(total / max(n, 1), right / max(n, 1), len(windows.words))

    @property
    def _n_threads(self) -> int:
        """In step there is no work for more threads than parts of the coordinates."""
        return self.threads if self.hogwild else min(self.threads, PARTS)

    @cached_property
    def _scratch(self) -> list[Scratch]:
        """Of each thread: one for all, unless each computes whole blocks."""
        makers = range(self._n_threads if self.hogwild else 1)
        made = [Scratch.make(self.vectors.outputs.shape[1], self.negatives, self.radius) for _ in makers]
        return made if self.hogwild else made * self._n_threads


@njit(nogil=True, cache=True)
def _blocks(problem, scratch, origin, rate, slope, counters, thread, threads):
    """Take whole blocks: a single thread all of them, one after another; with Hogwild several at once."""
    while True:
        b = read(counters, 0)
        if b >= len(problem.windows.blocks) - 1:
            return
        if take(counters, 0, b):
            block = _block(problem, b)
            blocks.score(problem, scratch, block, 0, PARTS)
            blocks.update(problem, scratch, block, 0, PARTS, _rate(problem, block, origin, rate, slope))


@njit(nogil=True, cache=True)
def _in_step(problem, scratch, origin, rate, slope, counters, thread, threads):
    """Score and update parts of blocks: each thread its own part, and one that is left lying by its thread.

    Of each part two counters tell how many tasks were taken and how many are done; task 2b scores block b and task
    2b + 1 updates it. Tasks of a part come after each other. An update needs the scores of all parts; a score of the
    next block only needs its own part's update.
    """
    n_tasks, looks, part, n_idle = 2 * (len(problem.windows.blocks) - 1), 0, thread, 0
    while n_idle < PARTS:
        task = read(counters, part * LINE)
        n_idle = n_idle + 1 if task == n_tasks else 0
        is_open = n_idle == 0 and (part == thread or looks > PATIENCE) and _is_due(counters, part, task)
        if is_open and take(counters, part * LINE, task):
            block = _block(problem, task // 2)
            if task % 2 == 0:
                blocks.score(problem, scratch, block, part, part + 1)
            else:
                now = _rate(problem, block, origin, rate, slope)
                blocks.update(problem, scratch, block, part, part + 1, now)
            write(counters, (PARTS + part) * LINE, task + 1)
            looks = 0
        else:
            part = (part + 1) % PARTS
            looks += 1
            rest(looks)


@njit(nogil=True, cache=True)
def _is_due(counters, part, task):
    """Whether what a task needs is done."""
    if read(counters, (PARTS + part) * LINE) != task:
        return False
    if task % 2 == 1:
        for other in range(PARTS):
            if read(counters, (PARTS + other) * LINE) < task:
                return False
    return True


@njit(nogil=True, cache=True)
def _block(problem, b):
    """Where a block begins and ends, and from where to where its windows may reach."""
    start, stop = problem.windows.blocks[b], problem.windows.blocks[b + 1]
    low, high = max(start - problem.radius, 0), min(stop + problem.radius, len(problem.windows.words))
    return Block(start, stop, low, high, b)


@njit(nogil=True, cache=True)
def _rate(problem, block, origin, rate, slope):
    """The learning rate of a block."""
    return rate + slope * np.float32(problem.windows.places[block.start] - origin)
