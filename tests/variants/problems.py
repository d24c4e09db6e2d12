"""Families of line-ups for the variants, and how a loss per query is held to the oracle."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from tellapart import Relation, dense, edges, listed, same
from tests import oracle
from tests.engines import playing
from tests.harness import SCORES


class Problem(NamedTuple):
    """A line-up in float64 in which everybody has someone to be told from."""

    queries: np.ndarray
    keys: np.ndarray
    relation: Relation | None
    weights: np.ndarray
    excluded: np.ndarray
    options: dict[str, Any]
    """Those of `oracle.logits`: temperature, score, key_bias, negatives."""

    @property
    def table(self):
        return oracle.logits(self.queries, self.keys, self.weights, **self.options)

    @property
    def tau(self):
        return np.broadcast_to(self.options["temperature"], (len(self.queries),))

    @property
    def largest(self):
        return max(abs(s) for row in self.table for s in row)

    def arguments(self):
        """Those of a variant, but for `exclude`."""
        options = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in self.options.items()}
        return options | {"positives": self.relation}

    def exclude(self):
        return dense(torch.tensor(self.excluded)) if self.excluded.any() else None

    def call(self, variant, engine, **more):
        """The variant's losses, one per query, and their mean."""
        given = {name: value for name, value in (self.arguments() | more).items() if value is not None}
        with playing(engine) as name:
            if engine != "none":
                given["engine"] = name
            tensors = torch.tensor(self.queries), torch.tensor(self.keys)
            return variant(*tensors, reduction="none", **given), variant(*tensors, **given)


@st.composite
def problems(draw, score=tuple(SCORES), biased=True, drawn=True, excluding=True, smallest_tau=0.05):
    """Sizes 1–8, dimensions 1–6, τ from 0.05 to 10, one for all or one per query; several positives or none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    m = max(n, 2) + draw(st.integers(0, 3))
    kind = draw(st.sampled_from(("paired", "listed", "same", "dense", "edges", "weights")))
    relation, weights = _related(kind, rng, n, m)
    excluded = (rng.random((n, m)) < draw(st.sampled_from((0.0, 0.4) if excluding else (0.0,)))) & (weights == 0)
    alone = excluded | (weights > 0)
    excluded[alone.all(1)] = False
    excluded[:, alone.all(0)] = False
    how = draw(st.sampled_from(("none", "shared", "mined") if drawn else ("none",)))
    count = draw(st.integers(1, 3))
    negatives = None if how == "none" else rng.normal(size=(count, d) if how == "shared" else (n, count, d))
    tau = draw(st.floats(smallest_tau, 10))
    bias = rng.normal(size=m + (count if how == "shared" else 0)) if biased and draw(st.booleans()) else None
    options = {
        "temperature": tau * (rng.random(n) + 0.5) if draw(st.booleans()) else tau,
        "score": draw(st.sampled_from(score)),
        "key_bias": bias,
        "negatives": negatives,
    }
    return Problem(rng.normal(size=(n, d)), rng.normal(size=(m, d)), relation, weights, excluded, options)


def _related(kind, rng, n, m):
    """A relation in which no query is related to all keys and, of two or more queries, no key to all of them."""
    if kind == "paired":
        return None, np.eye(n, m)
    if kind == "listed":
        index = rng.integers(0, m, n)
        index[:2] = (0, 1)[:n]
        return listed(torch.tensor(index)), np.eye(m)[index]
    if kind == "same":
        a, b = rng.integers(0, 4, n), rng.integers(0, 4, m)
        a[:2], b[:2] = (0, 1)[:n], (0, 1)
        return same(torch.tensor(a), torch.tensor(b)), (a[:, None] == b).astype(float)
    weights = (rng.random((n, m)) < 0.5).astype(float)
    weights[0, 0], weights[0, 1], weights[1:2], weights[2:, 1] = 1, 0, np.eye(m)[1], 0
    if kind == "weights":
        weights *= rng.random((n, m)) + 0.1
        return dense(torch.tensor(weights)), weights
    if kind == "edges":
        return edges(torch.tensor(np.stack(np.nonzero(weights)))), weights
    return dense(torch.tensor(weights > 0)), weights


def assert_agree(got, expected, largest, rel=1e-11, scale=1.0):
    """Losses per query and their mean against the oracle's; float64 rounding grows with the largest logit."""
    each, mean = got
    tolerance = {"rel": rel, "abs": 1e-13 * scale * (1 + largest)}
    assert each.tolist() == pytest.approx([0.0 if x is None else x for x in expected], **tolerance)
    assert mean.item() == pytest.approx(oracle.mean(expected), **tolerance)
