"""The variants' oracle: float64 Python loops, each written from its paper and from nothing in `src`.

They read a table of logits, `S_ij = s(q_i, k_j)/τ_i + bias_j` with further negatives behind the m keys, as
`oracle.logits` makes it; `weights[i, j] > 0` marks positives and `excluded[i, j]` who is left out. All
answer with one loss per query, `None` without a positive.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracle import logsumexp

Table = list[list[float]]


def turned(table: Table, m: int) -> Table:
    """The keys' table: further negatives do not ask."""
    return [[row[j] for row in table] for j in range(m)]


def positives_of(weights: np.ndarray, i: int) -> list[int]:
    """P(i)."""
    return [j for j in range(weights.shape[1]) if weights[i, j] > 0]


def negatives_of(table: Table, weights: np.ndarray, excluded: np.ndarray, i: int) -> list[int]:
    """N(i): keys that are neither positive nor excluded, and the further negatives."""
    m = weights.shape[1]
    return [j for j in range(len(table[i])) if j >= m or not (weights[i, j] > 0 or excluded[i, j])]


def mean_positive(table: Table, weights: np.ndarray, i: int) -> float:
    """The positives' weighted mean logit."""
    related = positives_of(weights, i)
    total = math.fsum(float(weights[i, j]) for j in related)
    return math.fsum(float(weights[i, j]) * table[i][j] for j in related) / total


def softplus(x: float) -> float:
    """`log(1 + exp x) = −log σ(−x)`."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sup_con(table: Table, labels: list, how: str) -> list[float | None]:
    """Khosla et al. 2020, eq. 2 ("out") and 3 ("in"): `A(i)` is everyone but i."""
    result: list[float | None] = []
    for i, row in enumerate(table):
        log_z = logsumexp([s for a, s in enumerate(row) if a != i] or [-math.inf])
        log_p = [row[p] - log_z for p in range(len(row)) if p != i and labels[p] == labels[i]]
        if not log_p:
            result.append(None)
        elif how == "out":
            result.append(-math.fsum(log_p) / len(log_p))
        else:
            result.append(-math.log(math.fsum(math.exp(x) for x in log_p) / len(log_p)))
    return result


def mil_nce(table: Table, weights: np.ndarray, excluded: np.ndarray, symmetric: bool) -> list[float | None]:
    """Miech et al. 2020, eq. 1: N_i holds i's pairs with others' narrations and others' with i's narrations."""
    result: list[float | None] = []
    for i, row in enumerate(table):
        related = positives_of(weights, i)
        if not related:
            result.append(None)
            continue
        own = [row[p] for p in related]
        others = [row[j] for j in negatives_of(table, weights, excluded, i)]
        if symmetric:
            others += [
                table[other][p]
                for p in related
                for other in range(len(table))
                if not (weights[other, p] > 0 or excluded[other, p])
            ]
        # log(1 + Z⁻/Z⁺)
        result.append(softplus(logsumexp(others) - logsumexp(own)))
    return result


def ranking(tables: list[Table], levels: list[np.ndarray], excluded: np.ndarray) -> list[float | None]:
    """Hoffmann et al. 2022, ranked positives, "in": level r against the levels below it and the negatives."""
    result: list[float | None] = []
    for i in range(len(excluded)):
        losses = []
        for r, table in enumerate(tables):
            above = [positives_of(level, i) for level in levels[:r]]
            present = [
                j for j in range(len(table[i])) if not excluded[i, j] and not any(j in related for related in above)
            ]
            own = [table[i][j] for j in positives_of(levels[r], i)]
            if own:
                losses.append(logsumexp([table[i][j] for j in present]) - logsumexp(own))
        result.append(math.fsum(losses) if losses else None)
    return result


def label_smoothing(table: Table, weights: np.ndarray, smoothing: float) -> list[float | None]:
    """Szegedy et al. 2016, §7: `q'(j) = (1 − ε) q(j) + ε/m`, the cross-entropy with it; u over the m keys."""
    result: list[float | None] = []
    for row, w in zip(table, weights, strict=True):
        if not (w > 0).any():
            result.append(None)
            continue
        log_z, m = logsumexp(row), len(w)
        target = [(1 - smoothing) * float(x) / math.fsum(w) + smoothing / m for x in w]
        result.append(math.fsum(t * (log_z - row[j]) for j, t in enumerate(target)))
    return result


def dcl(table: Table, weights: np.ndarray, excluded: np.ndarray) -> list[float | None]:
    """Yeh et al. 2022, the loss L_DC: the InfoNCE loss with the positive removed from the denominator."""
    return [
        logsumexp([table[i][j] for j in negatives_of(table, weights, excluded, i)]) - mean_positive(table, weights, i)
        if positives_of(weights, i)
        else None
        for i in range(len(table))
    ]


def dclw(table: Table, weights: np.ndarray, excluded: np.ndarray, tau: np.ndarray, sigma: float) -> list[float | None]:
    """Yeh et al. 2022, the loss L_DCW: `w = 2 − exp(⟨z, z⁺⟩/σ) / E[exp(⟨z, z⁺⟩/σ)]` before the positive's logit."""
    active = [i for i in range(len(table)) if positives_of(weights, i)]
    scores = {i: mean_positive(table, weights, i) * float(tau[i]) for i in active}
    log_mean = logsumexp([s / sigma for s in scores.values()]) - math.log(len(active))
    return [
        logsumexp([table[i][j] for j in negatives_of(table, weights, excluded, i)])
        - (2 - math.exp(scores[i] / sigma - log_mean)) * mean_positive(table, weights, i)
        if i in active
        else None
        for i in range(len(table))
    ]


def hard_negatives(
    table: Table, weights: np.ndarray, excluded: np.ndarray, tau: np.ndarray, beta: float, prior: float
) -> list[float | None]:
    """Robinson et al. 2021, eq. 4 with its importance-sampled estimators; β = 0 is Chuang et al. 2020, eq. 7 and 8.

    `E_β[exp S⁻] = (1/N Σ_j e^{β S_j} e^{S_j}) / (1/N Σ_j e^{β S_j})`, Q = N.
    """
    result: list[float | None] = []
    for i, row in enumerate(table):
        if not positives_of(weights, i):
            result.append(None)
            continue
        positive = math.exp(mean_positive(table, weights, i))
        negative = [row[j] for j in negatives_of(table, weights, excluded, i)]
        count = len(negative)
        partition = math.fsum(math.exp(beta * s) for s in negative) / count
        hard = math.fsum(math.exp(beta * s) * math.exp(s) for s in negative) / count / partition
        g = max((hard - prior * positive) / (1 - prior), math.exp(-1 / float(tau[i])))
        result.append(math.log1p(count * g / positive))
    return result


def robust(table: Table, weights: np.ndarray, excluded: np.ndarray, q: float, density: float) -> list[float | None]:
    """Chuang et al. 2022, the RINCE loss: `−e^{q s⁺}/q + (λ (e^{s⁺} + Σ e^{s⁻}))^q / q`."""
    m = weights.shape[1]
    result: list[float | None] = []
    for i, row in enumerate(table):
        if not positives_of(weights, i):
            result.append(None)
            continue
        z = math.fsum(math.exp(s) for j, s in enumerate(row) if j >= m or not excluded[i, j])
        result.append(-math.exp(q * mean_positive(table, weights, i)) / q + (density * z) ** q / q)
    return result


def sigmoid(table: Table, weights: np.ndarray, excluded: np.ndarray) -> list[float]:
    """Zhai et al. 2023, algorithm 1: `−Σ_j log σ(z_ij (t x_i·y_j + b))`; the bias is in the table."""
    return [
        math.fsum(
            softplus(-s) if weights[i, j] > 0 else softplus(s)
            for j, s in enumerate(row)
            if weights[i, j] > 0 or not excluded[i, j]
        )
        for i, row in enumerate(table)
    ]


def sgns(table: Table, weights: np.ndarray) -> list[float]:
    """Mikolov et al. 2013, eq. 4, negated: `−log σ(v'·v) − Σ_{k drawn} log σ(−v'_k·v)`."""
    m = weights.shape[1]
    return [
        math.fsum([softplus(-row[p]) for p in positives_of(weights, i)] + [softplus(s) for s in row[m:]])
        for i, row in enumerate(table)
    ]


def nce(table: Table, log_noise: np.ndarray) -> list[float]:
    """Mnih & Teh 2012, eq. 8, negated: `P(D = 1) = p / (p + k q)` for the datum, `k q / (p + k q)` for k draws."""
    n = len(table)
    log_k = math.log(len(table[0]) - n)
    result = []
    for i, row in enumerate(table):
        own = row[i] - logsumexp([row[i], log_k + float(log_noise[i])])
        drawn = range(n, len(row))
        noise = [log_k + float(log_noise[j]) - logsumexp([row[j], log_k + float(log_noise[j])]) for j in drawn]
        result.append(-own - math.fsum(noise))
    return result
