"""The oracle: InfoNCE in float64 Python loops, written from the papers and from nothing in `src`.

Slow and plain on purpose. Every engine and every option is held to these functions.
"""

from __future__ import annotations

import math

import numpy as np


def dot(q: np.ndarray, k: np.ndarray) -> float:
    """`Σ q_i k_i`."""
    return math.fsum(float(a) * float(b) for a, b in zip(q, k, strict=True))


def cosine(q: np.ndarray, k: np.ndarray) -> float:
    """`q·k / (‖q‖‖k‖)`; of a zero vector it is 0."""
    lengths = math.hypot(*map(float, q)) * math.hypot(*map(float, k))
    return dot(q, k) / lengths if lengths > 0 else 0.0


def sqeuclidean(q: np.ndarray, k: np.ndarray) -> float:
    """`−Σ (q_i − k_i)²`."""
    return -math.fsum((float(a) - float(b)) ** 2 for a, b in zip(q, k, strict=True))


# Every score that has a name, by its formula. All tests that vary the score take it from here.
SCORES = {"cosine": cosine, "dot": dot, "sqeuclidean": sqeuclidean}


def similarity(q: np.ndarray, k: np.ndarray, score: str) -> float:
    """One score, by its name."""
    return SCORES[score](q, k)


def logsumexp(values: list[float]) -> float:
    """`log Σ exp v`, shifted by the largest."""
    top = max(values)
    return top + math.log(math.fsum(math.exp(v - top) for v in values)) if top > -math.inf else -math.inf


def logits(q, k, weights, *, temperature, score="cosine", margin=0.0, key_bias=None, negatives=None):
    """All logits of all queries: `(s(q_i, k_j) − margin·[j positive]) / τ_i + key_bias_j`.

    Van den Oord et al. 2018, eq. 4 with f = exp(s/τ); the margin as in Yang et al. 2019, eq. 6; the
    bias as in Yi et al. 2019, eq. 3. Negatives stand behind the keys.
    """
    n, m = len(q), len(k)
    tau = np.broadcast_to(np.asarray(temperature, dtype=np.float64), (n,))
    table = []
    for i in range(n):
        row = []
        for j in range(m):
            s = similarity(q[i], k[j], score) - (margin if weights[i, j] > 0 else 0.0)
            row.append(s / tau[i] + (0.0 if key_bias is None else key_bias[j]))
        extra = [] if negatives is None else negatives if negatives.ndim == 2 else negatives[i]
        for j, other in enumerate(extra):
            bias = 0.0 if key_bias is None or negatives.ndim == 3 else key_bias[m + j]
            row.append(similarity(q[i], other, score) / tau[i] + bias)
        table.append(row)
    return table


def losses(table, weights, excluded, multi_positive="out") -> list[float | None]:
    """One loss per query, `None` without a positive.

    "out" is Khosla et al. 2020, eq. 2 (weights generalise 1/|P|); "in" is its eq. 3.
    """
    result: list[float | None] = []
    for row, w, out in zip(table, weights, excluded, strict=True):
        related = [j for j in range(len(w)) if w[j] > 0]
        if not related:
            result.append(None)
            continue
        log_z = logsumexp([s for j, s in enumerate(row) if j >= len(out) or not out[j]])
        total = math.fsum(w[j] for j in related)
        if multi_positive == "out":
            result.append(math.fsum(w[j] * (log_z - row[j]) for j in related) / total)
        else:
            result.append(log_z - logsumexp([row[j] + math.log(w[j] / total) for j in related]))
    return result


def mean(values: list[float | None]) -> float:
    """The mean over the queries that have a positive."""
    present = [v for v in values if v is not None]
    return math.fsum(present) / len(present)


def info_nce(q, k, weights, excluded, *, multi_positive="out", symmetric=False, **rest) -> float:
    """The mean loss, over both directions if symmetric (Radford et al. 2021, fig. 3)."""
    table = logits(q, k, weights, **rest)
    rows = mean(losses(table, weights, excluded, multi_positive))
    if not symmetric:
        return rows
    columns = [[table[i][j] for i in range(len(q))] for j in range(len(k))]
    return (rows + mean(losses(columns, weights.T, excluded.T, multi_positive))) / 2


def nt_xent(views: list[np.ndarray], temperature: float) -> float:
    """Chen et al. 2020, eq. 1, averaged over all other views of the example (Khosla et al. 2020, eq. 2)."""
    total, count = 0.0, 0
    for v, view in enumerate(views):
        for i, anchor in enumerate(view):
            scores = {
                (u, j): similarity(anchor, other[j], "cosine") / temperature
                for u, other in enumerate(views)
                for j in range(len(other))
                if (u, j) != (v, i)
            }
            positives = [scores[u, i] for u in range(len(views)) if u != v]
            total += logsumexp(list(scores.values())) - math.fsum(positives) / len(positives)
            count += 1
    return total / count
