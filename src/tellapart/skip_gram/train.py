"""Train on a stretch of text, with several threads: in step, for the same bits with any number of them, or Hogwild."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

from tellapart.skip_gram import block as blocks
from tellapart.skip_gram.block import Block, Problem, Scratch, Vectors
from tellapart.skip_gram.hashing import mix
from tellapart.skip_gram.noise import Noise
from tellapart.skip_gram.simd import LANES
from tellapart.skip_gram.tickets import COUNTERS, DONE, TAKEN, fetch_add, read, wait_for
from tellapart.skip_gram.windows import windows_of

if TYPE_CHECKING:
    from jaxtyping import Int32, UInt64

MOST_NEGATIVES = 100
SAMPLED = 32
"""Of so many windows the loss of one is computed while training."""


class Measured(NamedTuple):
    """What a stretch of text turned out to be."""

    loss: float
    """The mean over words of windows, while training those of every 32nd window, in nats."""
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
        threads: how many compute.
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
        return self._run(_hogwild if self.hogwild else _in_step, ids, start, seed, SAMPLED, rates[0], slope)

    def measure(self, ids: Int32[np.ndarray, " t"], seed: int) -> Measured:
        """The loss of all windows of a text, without training on it."""
        return self._run(_judge_all, ids, 0, seed, 1, 1.0, 0.0)

    def _run(
        self, run: Any, ids: Int32[np.ndarray, " t"], start: int, seed: int, every: int, rate: float, slope: float
    ) -> Measured:
        key = np.uint64(mix(np.uint64(seed)))  # as it is: with a signed key numba would compute in floats
        windows = windows_of(ids, start, int(key), self.keep, self.radius)
        losses = np.zeros((-(-len(windows.words) // every), 3))
        problem = Problem(self.vectors, windows, self.noise, key, self.softmax, self.radius, every, losses)
        counters = np.zeros(COUNTERS, np.int64)
        rest: tuple[Any, ...] = (start, np.float32(rate), np.float32(slope), counters, self.threads)
        with ThreadPoolExecutor(self.threads) as pool:
            for future in [pool.submit(run, problem, own, *rest) for own in self._scratch]:
                future.result()
        total, n, right = losses.sum(axis=0).tolist()
        return Measured(total / max(n, 1), right / max(n, 1), len(windows.words))

    @cached_property
    def _scratch(self) -> list[Scratch]:
        """Of each thread: one for all, unless each computes whole blocks."""
        makers = range(self.threads if self.hogwild else 1)
        made = [Scratch.make(self.vectors.outputs.shape[1], self.negatives, self.radius) for _ in makers]
        return made if self.hogwild else made * self.threads


@njit(nogil=True, cache=True)
def _in_step(problem, scratch, origin, rate, slope, counters, threads):
    """Take tickets: of each block, some of its words' gathering, some windows' judging, some coordinates' update."""
    windows, vectors = problem.windows, problem.vectors
    n_gather, n_judge, n_update = (1, 1, 1) if threads == 1 else (2 * threads, 4 * threads, threads)
    each = n_gather + n_judge + n_update
    while True:
        # Look first: a ticket that is taken before its phase begins would hold the others up.
        wait_for(counters, _phase_start(read(counters, TAKEN), n_gather, n_judge, each))
        ticket = fetch_add(counters, TAKEN, 1)
        b, part = ticket // each, ticket % each
        if b >= len(windows.blocks) - 1:
            return
        wait_for(counters, _phase_start(ticket, n_gather, n_judge, each))
        block = _block(problem, b)
        if part < n_gather:
            start, stop = _share(block.low, block.high, part, n_gather)
            blocks.gather(problem, scratch, block, start, stop)
        elif part < n_gather + n_judge:
            start, stop = _share(block.start, block.stop, part - n_gather, n_judge)
            now = rate + slope * np.float32(windows.places[block.start] - origin)
            blocks.judge(problem, scratch, block, now, start, stop)
        else:
            start, stop = _share(0, vectors.outputs.shape[1] // LANES, part - n_gather - n_judge, n_update)
            blocks.update(problem, scratch, block, start * LANES, stop * LANES)
        fetch_add(counters, DONE, 1)


@njit(nogil=True, cache=True)
def _hogwild(problem, scratch, origin, rate, slope, counters, threads):
    """Take whole blocks."""
    while True:
        b = fetch_add(counters, TAKEN, 1)
        if b >= len(problem.windows.blocks) - 1:
            return
        block = _block(problem, b)
        now = rate + slope * np.float32(problem.windows.places[block.start] - origin)
        blocks.gather(problem, scratch, block, block.low, block.high)
        blocks.judge(problem, scratch, block, now, block.start, block.stop)
        blocks.update(problem, scratch, block, 0, problem.vectors.outputs.shape[1])


@njit(nogil=True, cache=True)
def _judge_all(problem, scratch, origin, rate, slope, counters, threads):
    """The loss of all blocks, by the first thread that comes: their scratch is the same."""
    if fetch_add(counters, TAKEN, 1):
        return
    for b in range(len(problem.windows.blocks) - 1):
        block = _block(problem, b)
        blocks.gather(problem, scratch, block, block.low, block.high)
        blocks.judge(problem, scratch, block, rate, block.start, block.stop)


@njit(nogil=True, cache=True)
def _phase_start(ticket, n_gather, n_judge, each):
    """How many tickets are before the phase of this one."""
    part = ticket % each
    return ticket - part + (0 if part < n_gather else n_gather if part < n_gather + n_judge else n_gather + n_judge)


@njit(nogil=True, cache=True)
def _block(problem, b):
    """Where a block begins and ends, and from where to where its windows may reach."""
    start, stop = problem.windows.blocks[b], problem.windows.blocks[b + 1]
    return Block(start, stop, max(start - problem.radius, 0), min(stop + problem.radius, len(problem.windows.words)))


@njit(nogil=True, cache=True)
def _share(start, stop, part, parts):
    """One of several nearly equal parts of a range."""
    n = stop - start
    return start + n * part // parts, start + n * (part + 1) // parts
