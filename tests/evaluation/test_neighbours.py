"""Nearest neighbours against a vote counted by hand, ties and all."""

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.evaluation import nearest_neighbours
from tests.oracle import similarity

MODULE = sys.modules[nearest_neighbours.__module__]
SEEDS = st.integers(0, 2**32 - 1)
NAMES = np.array([-3, 0, 5, 2**40])


def vote(train, labels, query, k, temperature):
    """Wu et al. 2018, §3.4, in loops; equal to 9 decimals is equal, and the smallest label goes first."""
    nearest = sorted((-round(similarity(query, x, "cosine"), 9), int(y)) for x, y in zip(train, labels, strict=True))
    top = -nearest[0][0]
    scores: dict[int, list[float]] = {}
    for minus_cosine, label in nearest[:k]:
        scores.setdefault(label, []).append(math.exp((-minus_cosine - top) / temperature))
    sums = {label: math.fsum(votes) for label, votes in scores.items()}
    return min(label for label, total in sums.items() if total >= max(sums.values()) * (1 - 1e-9))


@st.composite
def problems(draw):
    """Small sets, on a coarse grid (where cosines tie, rows repeat and some are zero) or anywhere."""
    n, m, d = draw(st.integers(1, 6)), draw(st.integers(1, 12)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(SEEDS))
    shape = (n + m, d)
    rows = rng.integers(-1, 2, shape).astype(float) if draw(st.booleans()) else rng.normal(size=shape)
    return rows[n:], rng.choice(NAMES, m), rows[:n], draw(st.integers(1, m))


def predict(train, labels, queries, **options):
    return nearest_neighbours(torch.tensor(train), torch.tensor(labels), torch.tensor(queries), **options).tolist()


@given(problems(), st.sampled_from([1e-9, 1e-3, 0.07, 1.0, 1e3]))
def test_predictions_equal_those_of_a_vote_counted_by_hand(problem, temperature):
    train, labels, queries, k = problem
    want = [vote(train, labels, query, k, temperature) for query in queries]
    assert predict(train, labels, queries, k=k, temperature=temperature) == want


@given(problems(), st.integers(1, 40))
def test_chunks_never_matter_and_no_more_is_held_than_one(problem, size):
    train, labels, queries, k = problem
    whole, held = predict(train, labels, queries, k=k), []
    nearest = MODULE._nearest

    def watched(similar, k):
        held.append(similar.numel())
        return nearest(similar, k)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODULE, "_SCORES", size)
        patch.setattr(MODULE, "_NUMBERS", size)
        patch.setattr(MODULE, "_nearest", watched)
        assert predict(train, labels, queries, k=k) == whole
    at_once = max(1, size // train.shape[1])
    assert max(held) <= max(size, at_once, 2 * k * at_once)
    assert sum(held) >= len(train) * len(queries)


@given(problems(), SEEDS, st.sampled_from([1, 30, 140]), st.sampled_from([1e-9, 0.07]))
def test_lengths_never_matter(problem, seed, powers, temperature):
    train, labels, queries, k = problem
    options = {"k": k, "temperature": temperature}
    rng = np.random.default_rng(seed)
    longer = [rows * 10.0 ** rng.uniform(-powers, powers, (len(rows), 1)) for rows in (train, queries)]
    assert predict(longer[0], labels, longer[1], **options) == predict(train, labels, queries, **options)


@given(problems(), SEEDS)
def test_the_order_of_the_training_set_never_matters(problem, seed):
    train, labels, queries, k = problem
    order = np.random.default_rng(seed).permutation(len(train))
    assert predict(train[order], labels[order], queries, k=k) == predict(train, labels, queries, k=k)


@given(SEEDS)
def test_copies_of_a_vector_tie_wherever_they_stand(seed):
    """Products are summed in another order at the edge of a tile; a tie must not hang on that."""
    rng = np.random.default_rng(seed)
    m, d = int(rng.integers(20, 60)), int(rng.integers(5, 70))
    train = np.repeat(rng.normal(size=(1, d)), m, axis=0)
    labels = rng.integers(0, 9, m)
    smallest = np.sort(labels)[:5]
    counts = np.bincount(smallest)
    assert predict(train, labels, rng.normal(size=(3, d)), k=5) == [counts.argmax()] * 3


@given(SEEDS)
def test_classes_with_the_same_votes_tie_in_whatever_order_these_are_summed(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0.1, 1, 5))
    # One more than k at the largest angle, so that the votes are not summed from the nearest on.
    angles = np.concatenate([rng.permutation(angles), rng.permutation(angles), angles[-1:]])
    train, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.repeat([4, 2, 9], [5, 5, 1])
    assert predict(train, labels, np.array([[1.0, 0.0]]), k=10) == [2]


def test_an_encoder_that_maps_everything_to_one_point_predicts_from_the_smallest_labels():
    point = torch.ones(5, 4)
    assert nearest_neighbours(point, [5, 5, 2, 9, 2], point[:1], k=1).tolist() == [2]
    assert nearest_neighbours(point, [5, 5, 2, 9, 5], point[:1], k=4).tolist() == [5]
    assert nearest_neighbours(point, [5, 5, 2, 9, 2], 0 * point[:1], k=5).tolist() == [2]


def test_the_nearer_prevail_over_the_more_as_the_temperature_falls():
    train, labels = torch.tensor([[1.0, 0.0], [1.0, 0.5], [1.0, 0.5]]), [9, 1, 1]
    query = torch.tensor([[1.0, 0.0]])
    assert nearest_neighbours(train, labels, query, k=3, temperature=1.0).tolist() == [1]
    assert nearest_neighbours(train, labels, query, k=3, temperature=0.07).tolist() == [9]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_precision_serves_and_the_two_sides_may_differ_in_it(dtype):
    train, queries = torch.eye(3, dtype=dtype), torch.eye(3).requires_grad_()
    got = nearest_neighbours(train, [4, -1, 7], queries, k=1)
    assert got.dtype == torch.int64
    assert got.tolist() == [4, -1, 7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 4}, r"`k` must lie between 1 and 3, the size of the training set\. Got 4\."),
        ({"k": 0}, r"`k` must lie between 1 and 3, the size of the training set\. Got 0\."),
        ({"temperature": 0.0}, r"`temperature` must be positive and finite\. Got 0\.0\."),
        ({"temperature": math.inf}, r"`temperature` must be positive and finite\. Got inf\."),
        ({"train": torch.ones(0, 2)}, r"`train` must not be empty\. Got shape \(0, 2\)\."),
        ({"queries": torch.ones(0, 2)}, r"`queries` must not be empty\. Got shape \(0, 2\)\."),
        ({"queries": torch.ones(1, 3)}, r"`queries` must have 2 columns, as `train` has\. Got 3\."),
        ({"train_labels": [1, 2]}, r"`train_labels` must have one entry per embedding, \(3,\)\. Got shape \(2,\)\."),
    ],
)
def test_mistakes_are_named(change, message):
    good = {"train": torch.ones(3, 2), "train_labels": [1, 2, 3], "queries": torch.ones(1, 2), "k": 2}
    with pytest.raises(ValueError, match=f"^{message}$"):
        nearest_neighbours(**(good | change))
