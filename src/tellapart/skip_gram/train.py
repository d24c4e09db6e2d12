"""Train on a stretch of text, with several threads: in step, for the same bits with any number of them, or Hogwild."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from tellapart.skip_gram import block as blocks
from tellapart.skip_gram.block import SAMPLED, Scratch, Vectors
from tellapart.skip_gram.hashing import mix
from tellapart.skip_gram.noise import Noise
from tellapart.skip_gram.simd import LANES
from tellapart.skip_gram.tickets import COUNTERS, DONE, TAKEN, fetch_add, read, wait_for
from tellapart.skip_gram.windows import windows_of

if TYPE_CHECKING:
    from jaxtyping import Int32, UInt64

MOST_NEGATIVES = 100


class Measured(NamedTuple):
    """What a stretch of text turned out to be."""

    loss: float
    """The mean over words of windows, of every 32nd window, in nats."""
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
        key = int(mix(np.uint64(seed)))
        windows = windows_of(ids, start, key, self.keep, self.radius)
        n_blocks = len(windows.blocks) - 1
        losses = np.zeros((-(-len(windows.words) // SAMPLED), 3))
        counters = np.zeros(COUNTERS, np.int64)
        slope = (rates[1] - rates[0]) / max(len(ids), 1)
        common = (self.vectors, windows, self.noise, np.uint64(key), self.softmax, self.radius)
        rest = (n_blocks, start, np.float32(rates[0]), np.float32(slope), losses, counters)
        run = _hogwild if self.hogwild else _in_step
        scratch = [Scratch.make(self.vectors.outputs.shape[1], self.negatives, self.radius)]
        scratch *= 1 if self.hogwild else self.threads
        while len(scratch) < self.threads:
            scratch.append(Scratch.make(self.vectors.outputs.shape[1], self.negatives, self.radius))
        with ThreadPoolExecutor(self.threads) as pool:
            for future in [pool.submit(run, *common, own, *rest, self.threads) for own in scratch]:
                future.result()
        total, n, right = losses.sum(axis=0).tolist()
        return Measured(total / max(n, 1), right / max(n, 1), len(windows.words))


@njit(nogil=True, cache=True)
def _in_step(vectors, windows, noise, key, softmax, radius, scratch, n_blocks, origin, rate, slope, losses, counters, threads):  # type: ignore[no-untyped-def]
    """Take tickets: of each block, some of its words' gathering, some windows' judging, some coordinates' update."""
    n_gather, n_judge, n_update = (1, 1, 1) if threads == 1 else (2 * threads, 4 * threads, threads)
    each = n_gather + n_judge + n_update
    while True:
        # Look first: a ticket that is taken before its phase begins would hold the others up.
        wait_for(counters, _phase_start(read(counters, TAKEN), n_gather, n_judge, each))
        ticket = fetch_add(counters, TAKEN, 1)
        b, part = ticket // each, ticket % each
        if b >= n_blocks:
            return
        wait_for(counters, _phase_start(ticket, n_gather, n_judge, each))
        block = windows.blocks[b : b + 2]
        reach = _reach(block, radius, len(windows.words))
        if part < n_gather:
            start, stop = _share(reach[0], reach[1], part, n_gather)
            blocks.gather(vectors, windows, noise, key, scratch, reach, block, start, stop)
        elif part < n_gather + n_judge:
            start, stop = _share(block[0], block[1], part - n_gather, n_judge)
            now = rate + slope * np.float32(windows.places[block[0]] - origin)
            blocks.judge(vectors, windows, scratch, reach, block, softmax, now, start, stop, losses)
        else:
            start, stop = _share(0, vectors.outputs.shape[1] // LANES, part - n_gather - n_judge, n_update)
            blocks.update(vectors, windows, scratch, reach, block, start * LANES, stop * LANES)
        fetch_add(counters, DONE, 1)


@njit(nogil=True, cache=True)
def _hogwild(vectors, windows, noise, key, softmax, radius, scratch, n_blocks, origin, rate, slope, losses, counters, threads):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Take whole blocks."""
    while True:
        b = fetch_add(counters, TAKEN, 1)
        if b >= n_blocks:
            return
        block = windows.blocks[b : b + 2]
        reach = _reach(block, radius, len(windows.words))
        now = rate + slope * np.float32(windows.places[block[0]] - origin)
        blocks.gather(vectors, windows, noise, key, scratch, reach, block, reach[0], reach[1])
        blocks.judge(vectors, windows, scratch, reach, block, softmax, now, block[0], block[1], losses)
        blocks.update(vectors, windows, scratch, reach, block, 0, vectors.outputs.shape[1])


@njit(nogil=True, cache=True)
def _phase_start(ticket, n_gather, n_judge, each):  # type: ignore[no-untyped-def]
    """How many tickets are before the phase of this one."""
    part = ticket % each
    return ticket - part + (0 if part < n_gather else n_gather if part < n_gather + n_judge else n_gather + n_judge)


@njit(nogil=True, cache=True)
def _reach(block, radius, n):  # type: ignore[no-untyped-def]
    """From where to where windows of a block may reach."""
    return max(block[0] - radius, 0), min(block[1] + radius, n)


@njit(nogil=True, cache=True)
def _share(start, stop, part, parts):  # type: ignore[no-untyped-def]
    """One of several nearly equal parts of a range."""
    n = stop - start
    return start + n * part // parts, start + n * (part + 1) // parts
