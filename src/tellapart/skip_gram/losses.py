"""From the scores of a window to the weights −∂L/∂s of SGNS and InfoNCE, and to the losses themselves."""

from __future__ import annotations

import numpy as np
from numba import njit

_FAST = {"contract", "nsz", "arcp"}  # no additions in another order
_BOUND = np.float32(80.0)  # beyond, exp leaves float32


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
def sigmoid(weights, words, window, n, n_keys, rate):
    """Scores to `rate · (1 − σ(s))` for the positive and `−rate · σ(s)` for negatives."""
    for k in range(n * n_keys):
        weights[window, k] = -rate / (np.float32(1) + _exp(-weights[window, k]))
    for i in range(n):
        weights[window, i * n_keys] += rate
    _leave_out_the_positive(weights, words, window, n, n_keys)


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def softmax(weights, words, window, n, n_keys, rate):
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
def measure(scores, words, n, n_keys, middle, softmax, measured):
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
