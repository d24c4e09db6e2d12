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
from tellapart.skip_gram.noise import Noise, word_of
from tellapart.skip_gram.simd import LANES, TILE_KEYS, accumulate, prefetch, scores
from tellapart.skip_gram.windows import MOST_WINDOWS, Windows

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Int64

PARTS = 2
"""Parts of the coordinates; more would cost time where threads are few."""
_AHEAD, _WORDS_AHEAD = 2, 6  # windows and words, so that vectors are near when they are needed
_FAST = {"contract", "nsz", "arcp"}  # no additions in another order
_BOUND = np.float32(80.0)  # beyond, exp leaves float32


class Vectors(NamedTuple):
    """What is trained, in rows padded with zeros to whole vectors of 16."""

    inputs: Float32[np.ndarray, "rows d"]
    outputs: Float32[np.ndarray, "v d"]
    parts: Int64[np.ndarray, " p"]
    """Rows of `inputs` whose sum, times `scale`, is a word's input vector."""
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

    What all parts need alike is computed by the first; threads that need it at the same time compute it each.
    """

    queries: Float32[np.ndarray, "n d"]
    gradients: Float32[np.ndarray, "n d"]
    """What is to be added to the queries."""
    keys: Float32[np.ndarray, "n d"]
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
            _zeros(n_queries, length),
            _zeros(n_queries, length),
            _zeros(MOST_WINDOWS * n_keys, length),
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
    _gather(problem, scratch, block, start, stop)
    whose = _whose(scratch.ready, parity * PARTS, part, block)
    if whose < 0:
        _draw(problem, scratch.key_words[parity, part], block)
        write(scratch.ready, parity * PARTS + part, block.number + 1)
        whose = part
    queries, keys, key_words, shares = scratch.queries, scratch.keys, scratch.key_words[parity, whose], scratch.shares
    n_keys, row_length = padded_keys(key_words.shape[1] - 1), shares.shape[3]
    for i in range(block.start, block.stop):
        window = i - block.start
        if i + _AHEAD < block.stop:
            for j in range(key_words.shape[1]):
                prefetch(outputs, key_words[window + _AHEAD, j] * length + start, stop - start)
        for j in range(key_words.shape[1]):
            row = key_words[window, j]
            for d in range(start, stop):
                keys[window * n_keys + j, d] = outputs[row, d]
        first, n = windows.first[i], windows.last[i] - windows.first[i] + 1
        for one in range(part, end):
            low, high = edge(length, one), edge(length, one + 1)
            scores(
                *(queries, (first - block.low) * length + low, length, n),
                *(keys, window * n_keys * length + low, length, n_keys),
                *(shares, ((parity * PARTS + one) * MOST_WINDOWS + window) * row_length, n_keys, high - low),
            )


@njit(nogil=True, cache=True)
def update(problem, scratch, block, part, end, rate):
    """Add the gradients to the coordinates of the parts from `part` to before `end` of all vectors of the block."""
    windows, drawn = problem.windows, block.number % 2
    key_words = scratch.key_words[drawn, max(_whose(scratch.ready, drawn * PARTS, part, block), 0)]
    whose = _whose(scratch.ready, 2 * PARTS, part, block)
    if whose < 0:
        _weigh(problem, scratch, block, key_words, scratch.weights[part], rate)
        write(scratch.ready, 2 * PARTS + part, block.number + 1)
        whose = part
    outputs, queries, gradients = problem.vectors.outputs, scratch.queries, scratch.gradients
    keys, weights = scratch.keys, scratch.weights[whose]
    start, stop = edge(outputs.shape[1], part), edge(outputs.shape[1], end)
    length, n_keys = outputs.shape[1], padded_keys(key_words.shape[1] - 1)
    for i in range(block.start, block.stop):
        window = i - block.start
        first, n = windows.first[i], windows.last[i] - windows.first[i] + 1
        queries_at, keys_at = (first - block.low) * length, window * n_keys * length
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
    _scatter(problem, scratch, block, start, stop)


@njit(nogil=True, cache=True)
def _whose(ready, at, part, block):
    """Which part's copy of something is complete for a block, its own first; -1 if none is."""
    if read(ready, at + part) == block.number + 1:
        return part
    for other in range(PARTS):
        if read(ready, at + other) == block.number + 1:
            return other
    return -1


@njit(nogil=True, cache=True)
def _gather(problem, scratch, block, start, stop):
    """Copy the queries of the words that the block reaches."""
    vectors, words = problem.vectors, problem.windows.words
    inputs, parts, part_starts = vectors.inputs, vectors.parts, vectors.part_starts
    queries, gradients = scratch.queries, scratch.gradients
    for i in range(block.low, block.high):
        if i + _WORDS_AHEAD < block.high:
            row = parts[part_starts[words[i + _WORDS_AHEAD]]]
            prefetch(inputs, row * inputs.shape[1] + start, stop - start)
        word, query = words[i], i - block.low
        scale, first, row = vectors.scale[word], part_starts[word], parts[part_starts[word]]
        for d in range(start, stop):
            queries[query, d] = inputs[row, d] * scale
            gradients[query, d] = 0
        for part in range(first + 1, part_starts[word + 1]):
            row = parts[part]
            for d in range(start, stop):
                queries[query, d] += inputs[row, d] * scale


@njit(nogil=True, cache=True)
def _scatter(problem, scratch, block, start, stop):
    """Add the gradients of queries to the rows that they are made of."""
    vectors, words = problem.vectors, problem.windows.words
    inputs, gradients = vectors.inputs, scratch.gradients
    for i in range(block.low, block.high):
        word = words[i]
        for part in range(vectors.part_starts[word], vectors.part_starts[word + 1]):
            row, scale = vectors.parts[part], vectors.scale[word]
            for d in range(start, stop):
                inputs[row, d] += gradients[i - block.low, d] * scale


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
            _measure(weights[window], key_words[window], n, n_keys, i - first, problem.softmax, measured)
        if problem.softmax:
            _softmax(weights, key_words, window, n, n_keys, rate)
        else:
            _sigmoid(weights, key_words, window, n, n_keys, rate)
        for j in range(n_keys):
            weights[window, (i - first) * n_keys + j] = 0


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def _exp(x):
    """e^x to 2e-7 for |x| ≤ 80, beyond as at ±80: a power of 2, and a polynomial for its fraction."""
    x = min(max(x, -_BOUND), _BOUND) * np.float32(1.4426950408889634)
    whole = np.floor(x + np.float32(0.5))
    x -= whole
    y = np.float32(1.5403530e-4)
    for coefficient in (1.3333558e-3, 9.6181291e-3, 5.5504109e-2, 2.4022651e-1, 6.9314718e-1, 1.0):
        y = y * x + np.float32(coefficient)
    return y * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def _sigmoid(weights, words, window, n, n_keys, rate):
    """Scores to `rate · (1 − σ(s))` for the positive and `−rate · σ(s)` for negatives."""
    for k in range(n * n_keys):
        weights[window, k] = -rate / (np.float32(1) + _exp(-weights[window, k]))
    for i in range(n):
        weights[window, i * n_keys] += rate
    _leave_out_the_positive(weights, words, window, n, n_keys)


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def _softmax(weights, words, window, n, n_keys, rate):
    """Scores to `rate · (1 − p)` for the positive and `−rate · p` for negatives, p of the softmax over all."""
    for k in range(n * n_keys):
        weights[window, k] = _exp(weights[window, k])
    _leave_out_the_positive(weights, words, window, n, n_keys)
    for i in range(n):
        total = np.float32(0)
        for j in range(words.shape[1]):
            total += weights[window, i * n_keys + j]
        share = -rate / total
        for j in range(words.shape[1]):
            weights[window, i * n_keys + j] *= share
        weights[window, i * n_keys] += rate


@njit(nogil=True, cache=True, inline="always")
def _leave_out_the_positive(weights, words, window, n, n_keys):
    """Where a drawn word is the middle word, the weight is zero."""
    for j in range(1, words.shape[1]):
        if words[window, j] == words[window, 0]:
            for i in range(n):
                weights[window, i * n_keys + j] = 0


@njit(nogil=True, cache=True)
def _measure(scores, words, n, n_keys, middle, softmax, measured):
    """Of a window: the sum of its words' losses in nats, how many there are, and of how many the positive wins."""
    loss, right = 0.0, 0
    for i in range(n):
        if i == middle:
            continue
        positive, best, total = np.float64(scores[i * n_keys]), -np.inf, 0.0
        for j in range(1, len(words)):
            if words[j] != words[0]:
                score = np.float64(scores[i * n_keys + j])
                best = max(best, score)
                total += np.exp(score - positive) if softmax else np.log1p(np.exp(-abs(score))) + max(score, 0.0)
        if softmax:
            total = np.log1p(total)
        else:
            total += np.log1p(np.exp(-abs(positive))) + max(-positive, 0.0)
        loss += total
        right += int(positive > best)
    measured[0], measured[1], measured[2] = loss, n - 1, right  # at once: several threads may find the same
