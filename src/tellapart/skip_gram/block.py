"""One step of SGD: the windows of a block, their loss at one state of the vectors, and its gradient.

    L = Σ over windows, over their words i:   loss(s_i0; s_i1 … s_iK),   s_ij = q_i · k_j

The query q_i is the input vector of a word around the middle. The keys are output vectors: k_0 of the middle word, the
positive, and k_1 … k_K of words drawn from the noise, one set for the whole window (Ji et al. 2016). A drawn word that
is the middle word is no negative. The loss is that of `variants.sgns`, or `info_nce` with scores "dot" at τ = 1; the
step is −learning rate · ∂L, exactly.

It has two phases, each of which is done for parts of the coordinates by themselves. `score` copies what is needed, and
sums up its coordinates' share of the scores. `update` adds these shares, computes the weights −∂L/∂s, and adds their
products with queries and keys to its coordinates of the vectors. A thread that keeps to its coordinates has them in its
own cache; threads exchange nothing but shares of scores. The parts are the same for any number of threads, so bits are,
too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numba import njit

from tellapart.skip_gram.counters import read, write
from tellapart.skip_gram.hashing import draw
from tellapart.skip_gram.losses import measure, sigmoid, softmax
from tellapart.skip_gram.noise import Noise, word_of
from tellapart.skip_gram.simd import LANES, TILE_KEYS, accumulate, prefetch, scaled, scores, zero
from tellapart.skip_gram.windows import MOST_WINDOWS, Windows

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Int64

PARTS = 2
"""Parts of the coordinates; more would cost time where threads are few."""
_AHEAD, _WORDS_AHEAD = 2, 6  # windows and words, so that vectors are near when they are needed


class Vectors(NamedTuple):
    """What is trained, in rows padded with zeros to whole vectors of 16."""

    inputs: Float32[np.ndarray, "rows d"]
    outputs: Float32[np.ndarray, "v d"]
    parts: Int64[np.ndarray, " p"]
    """Rows of `inputs`: their sum, times `scale`, is the input vector of a word."""
    part_starts: Int64[np.ndarray, " v_and_1"]
    """Where in `parts` a word's begin."""
    scale: Float32[np.ndarray, " v"]


class Problem(NamedTuple):
    """What is computed, and where what is found of it is written."""

    vectors: Vectors
    windows: Windows
    noise: Noise
    key: np.uint64
    """Of the negatives' random numbers."""
    softmax: bool
    """InfoNCE; otherwise SGNS."""
    radius: int
    every: int
    """Of so many windows the loss of one is computed."""
    losses: Float64[np.ndarray, "n 3"]
    """Of such a window: the sum of its words' losses, their number, and of how many the positive wins."""


class Block(NamedTuple):
    """Which windows it has, the first word that they reach and the one after the last, and its number."""

    start: int
    stop: int
    low: int
    high: int
    number: int


class Scratch(NamedTuple):
    """What a block's phases hand on. Where two are named, one is of even and one of odd blocks.

    What all parts need alike is computed by the first; threads that need it at the same time compute it each. Each part
    has rows of its own, of which it uses its coordinates: a processor fetches the lines beside those that it needs, and
    would take them from the other's cache.
    """

    queries: Float32[np.ndarray, "parts n d"]
    gradients: Float32[np.ndarray, "parts n d"]
    """What is to be added to the queries."""
    keys: Float32[np.ndarray, "parts n d"]
    """The keys of all windows, one after another."""
    key_words: Int64[np.ndarray, "2 parts w k"]
    shares: Float32[np.ndarray, "2 parts w n"]
    """For each word of a window its scores with the window's keys, each part's share."""
    weights: Float32[np.ndarray, "parts w n"]
    """−∂L/∂s times the learning rate, in the same order; the middle's are zero. All parts need the same."""
    ready: Int64[np.ndarray, " n"]
    """Of which block, counted from 1, `key_words` (even, odd) and `weights` are complete, for each part."""

    @classmethod
    def make(cls, length: int, negatives: int, radius: int) -> Scratch:
        """Room for the largest block; what is beyond the end of a window is computed with, too, so it is zero."""
        n_queries, n_keys = MOST_WINDOWS + 2 * radius + 2, padded_keys(negatives)
        n_scores = (2 * radius + 2) * n_keys
        return cls(
            _zeros(PARTS, n_queries, length),
            _zeros(PARTS, n_queries, length),
            _zeros(PARTS, MOST_WINDOWS * n_keys, length),
            np.zeros((2, PARTS, MOST_WINDOWS, negatives + 1), np.int64),
            _zeros(2, PARTS, MOST_WINDOWS, n_scores),
            _zeros(PARTS, MOST_WINDOWS, n_scores),
            np.zeros(3 * PARTS, np.int64),
        )


def _zeros(*shape: int) -> Float32[np.ndarray, "..."]:
    return torch.zeros(shape).numpy()  # torch's memory begins where a line of the cache does


@njit(nogil=True, cache=True)
def padded_keys(negatives):
    """Keys of a window, rounded up to whole tiles."""
    return -(-(negatives + 1) // TILE_KEYS) * TILE_KEYS


@njit(nogil=True, cache=True)
def edge(length, part):
    """Where a part's coordinates begin."""
    return (part * (length // LANES) + PARTS - 1) // PARTS * LANES


@njit(nogil=True, cache=True)
def score(problem, scratch, block, part, end):
    """The shares of all scores of a block that the coordinates of the parts from `part` to before `end` have."""
    outputs, windows = problem.vectors.outputs, problem.windows
    parity, length = block.number % 2, outputs.shape[1]
    start, stop = edge(length, part), edge(length, end)
    _gather(problem, scratch, block, part, start, stop)
    source = _ready_part(scratch.ready, parity * PARTS, part, block)
    if source < 0:
        _draw(problem, scratch.key_words[parity, part], block)
        write(scratch.ready, parity * PARTS + part, block.number + 1)
        source = part
    queries, keys, key_words, shares = scratch.queries, scratch.keys, scratch.key_words[parity, source], scratch.shares
    n_keys, row_length = padded_keys(key_words.shape[1] - 1), shares.shape[3]
    query_row, key_row = part * queries.shape[1] - block.low, part * keys.shape[1]
    for i in range(block.start, block.stop):
        window = i - block.start
        if i + _AHEAD < block.stop:
            for j in range(key_words.shape[1]):
                prefetch(outputs, key_words[window + _AHEAD, j] * length + start, stop - start)
        for j in range(key_words.shape[1]):
            to, row = (key_row + window * n_keys + j) * length, key_words[window, j] * length
            scaled(keys, to + start, outputs, row + start, np.float32(1), stop - start)
        first, n = windows.first[i], windows.last[i] - windows.first[i] + 1
        for one in range(part, end):
            low, high = edge(length, one), edge(length, one + 1)
            scores(
                *(queries, (query_row + first) * length + low, length, n),
                *(keys, (key_row + window * n_keys) * length + low, length, n_keys),
                *(shares, ((parity * PARTS + one) * MOST_WINDOWS + window) * row_length, n_keys, high - low),
            )


@njit(nogil=True, cache=True)
def update(problem, scratch, block, part, end, rate):
    """Add the gradients to the coordinates of the parts from `part` to before `end` of all vectors of the block."""
    windows, drawn = problem.windows, block.number % 2
    key_words = scratch.key_words[drawn, max(_ready_part(scratch.ready, drawn * PARTS, part, block), 0)]
    source = _ready_part(scratch.ready, 2 * PARTS, part, block)
    if source < 0:
        _weigh(problem, scratch, block, key_words, scratch.weights[part], rate)
        write(scratch.ready, 2 * PARTS + part, block.number + 1)
        source = part
    outputs, queries, gradients = problem.vectors.outputs, scratch.queries, scratch.gradients
    keys, weights = scratch.keys, scratch.weights[source]
    start, stop = edge(outputs.shape[1], part), edge(outputs.shape[1], end)
    length, n_keys = outputs.shape[1], padded_keys(key_words.shape[1] - 1)
    query_row, key_row = part * queries.shape[1] - block.low, part * keys.shape[1]
    for i in range(block.start, block.stop):
        window = i - block.start
        first, n = windows.first[i], windows.last[i] - windows.first[i] + 1
        queries_at, keys_at = (query_row + first) * length, (key_row + window * n_keys) * length
        weights_at = window * weights.shape[1]
        for query in range(n):
            if first + query != i:
                accumulate(
                    *(gradients, queries_at + query * length, weights, weights_at + query * n_keys, 1),
                    *(keys, keys_at, length, key_words.shape[1], start, stop),
                )
        for j in range(key_words.shape[1]):
            accumulate(
                *(outputs, key_words[window, j] * length, weights, weights_at + j, n_keys),
                *(queries, queries_at, length, n, start, stop),
            )
    _scatter(problem, scratch, block, part, start, stop)


@njit(nogil=True, cache=True)
def _ready_part(ready, at, part, block):
    """The part that has a complete copy of something for a block, its own first; -1 if none has."""
    if read(ready, at + part) == block.number + 1:
        return part
    for other in range(PARTS):
        if read(ready, at + other) == block.number + 1:
            return other
    return -1


@njit(nogil=True, cache=True)
def _gather(problem, scratch, block, part, start, stop):
    """Copy the queries of the words that the block reaches."""
    vectors, words = problem.vectors, problem.windows.words
    inputs, rows, row_starts = vectors.inputs, vectors.parts, vectors.part_starts
    length, query_row = inputs.shape[1], part * scratch.queries.shape[1] - block.low
    for i in range(block.low, block.high):
        if i + _WORDS_AHEAD < block.high:
            row = rows[row_starts[words[i + _WORDS_AHEAD]]]
            prefetch(inputs, row * length + start, stop - start)
        word, query = words[i], (query_row + i) * length
        first = row_starts[word]
        one = rows[first] * length + start
        scaled(scratch.queries, query + start, inputs, one, vectors.scale[word], stop - start)
        zero(scratch.gradients, query + start, stop - start)
        for k in range(first + 1, row_starts[word + 1]):
            weight = vectors.scale, word, 0
            accumulate(scratch.queries, query, *weight, inputs, rows[k] * length, 0, 1, start, stop)


@njit(nogil=True, cache=True)
def _scatter(problem, scratch, block, part, start, stop):
    """Add the gradients of queries to the rows that they are made of."""
    vectors, words = problem.vectors, problem.windows.words
    length, query_row = vectors.inputs.shape[1], part * scratch.gradients.shape[1] - block.low
    for i in range(block.low, block.high):
        word, query = words[i], (query_row + i) * length
        for k in range(vectors.part_starts[word], vectors.part_starts[word + 1]):
            weight = vectors.scale, word, 0
            row = vectors.parts[k] * length
            accumulate(vectors.inputs, row, *weight, scratch.gradients, query, 0, 1, start, stop)


@njit(nogil=True, cache=True)
def _draw(problem, key_words, block):
    """The middle word of each window, and its negatives."""
    noise, places, words = problem.noise, problem.windows.places, problem.windows.words
    for i in range(block.start, block.stop):
        key_words[i - block.start, 0] = words[i]
        for j in range(1, key_words.shape[1]):
            key_words[i - block.start, j] = word_of(noise, draw(problem.key, places[i], j))


@njit(nogil=True, cache=True)
def _weigh(problem, scratch, block, key_words, weights, rate):
    """The weights of all windows of a block, and of some the loss."""
    windows, shares = problem.windows, scratch.shares[block.number % 2]
    n_keys = padded_keys(key_words.shape[1] - 1)
    for i in range(block.start, block.stop):
        window = i - block.start
        first, n = windows.first[i], windows.last[i] - windows.first[i] + 1
        for k in range(n * n_keys):
            weights[window, k] = shares[0, window, k] + shares[1, window, k]
        if i % problem.every == 0:
            measured = problem.losses[i // problem.every]
            measure(weights[window], key_words[window], n, n_keys, i - first, problem.softmax, measured)
        if problem.softmax:
            softmax(weights, key_words, window, n, n_keys, rate)
        else:
            sigmoid(weights, key_words, window, n, n_keys, rate)
        for j in range(n_keys):
            weights[window, (i - first) * n_keys + j] = 0
