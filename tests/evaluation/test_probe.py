"""The linear probe against plain gradient descent, and on labels that can and cannot be read off."""

import math
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.evaluation import linear_probe

MODULE = sys.modules[linear_probe.__module__]
SEEDS = st.integers(0, 2**32 - 1)


def descend(train, labels, queries, regularisation, as_they_are=False):
    """Logits of the minimum of C Σ −log softmax(W x̂ + b)_y + ½‖W‖², by gradient descent in float64."""
    mean, deviation = (0, 1) if as_they_are else (train.mean(axis=0), train.std(axis=0))
    known, test = (train - mean) / deviation, (queries - mean) / deviation
    classes = np.unique(labels)
    truth = (labels[:, None] == classes).astype(float)
    weight, bias = np.zeros((len(classes), train.shape[1])), np.zeros(len(classes))
    # The Hessian of the cross-entropy is at most ½ Σ x̂x̂ᵀ, the bias taken for a column of ones.
    step = 1 / (1 + regularisation * (np.square(known).sum() + len(known)) / 2)
    for _ in range(6000):
        logits = known @ weight.T + bias
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        wrong = shares / shares.sum(axis=1, keepdims=True) - truth
        weight -= step * (regularisation * wrong.T @ known + weight)
        bias -= step * regularisation * wrong.sum(axis=0)
    return classes, test @ weight.T + bias


def groups(rng, classes, n, d, spread):
    """Items around one centre per class, the centres on different axes."""
    labels = rng.permutation(np.resize(classes, n))
    centres = np.eye(len(classes), d)[np.searchsorted(classes, labels)]
    return torch.tensor(centres + spread * rng.normal(size=(n, d))), torch.tensor(labels)


@settings(max_examples=15)
@given(st.integers(3, 5), st.sampled_from([0.1, 1.0]), st.booleans(), SEEDS)
def test_predictions_are_those_of_the_minimum_of_the_stated_objective(n_classes, regularisation, sparse, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.resize(np.arange(n_classes) - 2, 15))
    units = (1, 3) if sparse else (1, 100)
    train, queries = rng.normal(size=(15, 2)) * units, rng.normal(size=(40, 2)) * units
    classes, logits = descend(train, labels, queries, regularisation, sparse)
    second, first = np.sort(logits, axis=1)[:, -2:].T
    clear = first - second > 0.02
    assert clear.any()
    known, test = (torch.tensor(x).to_sparse() if sparse else torch.tensor(x) for x in (train, queries))
    probe = linear_probe(known, torch.tensor(labels), test, regularisation=regularisation)
    assert probe.converged
    assert (probe.labels.numpy() == classes[logits.argmax(axis=1)])[clear].all()


@given(st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=5, unique=True), SEEDS)
def test_labels_that_a_plane_separates_are_recovered(names, seed):
    rng = np.random.default_rng(seed)
    train, known = groups(rng, np.sort(names), 60, 6, spread=0.05)
    test, truth = groups(rng, np.sort(names), 40, 6, spread=0.05)
    probe = linear_probe(train, known, test)
    assert probe.labels.tolist() == truth.tolist()
    assert probe.converged


@pytest.mark.parametrize("n_classes", [2, 4])
def test_shuffled_labels_are_guessed_no_better_than_by_chance(n_classes):
    rng = np.random.default_rng(0)
    train, known = groups(rng, np.arange(n_classes), 1000, 8, spread=0.1)
    test, truth = groups(rng, np.arange(n_classes), 2000, 8, spread=0.1)
    known, truth = known[torch.tensor(rng.permutation(1000))], truth[torch.tensor(rng.permutation(2000))]
    share = (linear_probe(train, known, test).labels == truth).double().mean().item()
    chance = 1 / n_classes
    assert abs(share - chance) < 4 * math.sqrt(chance * (1 - chance) / 2000)


@given(SEEDS)
def test_units_of_the_columns_never_matter(seed):
    rng = np.random.default_rng(seed)
    train, known = groups(rng, np.arange(3), 30, 4, spread=0.5)
    test, _ = groups(rng, np.arange(3), 30, 4, spread=0.5)
    # Powers of two, so that nothing is rounded.
    units = torch.tensor(2.0 ** rng.integers(-30, 30, 4))
    want = linear_probe(train, known, test).labels
    assert linear_probe(train * units, known, test * units).labels.tolist() == want.tolist()


@given(st.sampled_from([0.0, 0.1, -1e8 / 3, 1e-300]), st.sampled_from([0.0, 0.1, 1e300]), SEEDS)
def test_a_column_that_is_constant_over_the_training_set_tells_nothing(constant, in_queries, seed):
    rng = np.random.default_rng(seed)
    train, known = groups(rng, np.arange(3), 30, 4, spread=0.5)
    test, _ = groups(rng, np.arange(3), 30, 4, spread=0.5)
    wider = [
        torch.cat([x, torch.full((30, 1), c, dtype=torch.float64)], dim=1)
        for x, c in ((train, constant), (test, in_queries))
    ]
    want = linear_probe(train, known, test).labels
    assert linear_probe(wider[0], known, wider[1]).labels.tolist() == want.tolist()


def test_a_column_too_small_to_have_a_deviation_tells_nothing():
    rng = np.random.default_rng(0)
    train, known = groups(rng, np.arange(3), 30, 4, spread=0.5)
    tiny = 1e-200 * torch.tensor(rng.normal(size=(30, 1)))
    want = linear_probe(train, known, train).labels
    wider = torch.cat([train, tiny], dim=1)
    assert linear_probe(wider, known, wider).labels.tolist() == want.tolist()


def test_an_encoder_that_maps_everything_to_one_point_leaves_the_most_frequent_label():
    point = torch.ones(5, 4)
    assert linear_probe(point, [3, 8, 8, 3, 8], point[:2]).labels.tolist() == [8, 8]
    # Rounded, the deviation of this one need not be 0.
    third = torch.full((30, 1), -1e8 / 3, dtype=torch.float64)
    assert linear_probe(third, [3, 8, 8] * 10, -third[:2]).labels.tolist() == [8, 8]


def test_a_fit_that_was_stopped_early_says_so():
    train, known = groups(np.random.default_rng(0), np.arange(4), 200, 8, spread=1.0)
    stopped = linear_probe(train, known, train, max_steps=2)
    assert not stopped.converged
    assert stopped.steps == 2
    complete = linear_probe(train, known, train)
    assert complete.converged
    assert 2 < complete.steps < 1000


def test_other_warnings_of_the_fit_are_passed_on():
    from sklearn.exceptions import ConvergenceWarning

    class Model:
        def fit(self, *_):
            warnings.warn("something else", UserWarning, stacklevel=2)
            warnings.warn("not converged", ConvergenceWarning, stacklevel=2)

    with pytest.warns(UserWarning, match="something else") as seen:
        assert not MODULE._fit(Model(), np.ones((2, 1)), np.arange(2))
    assert [str(warning.message) for warning in seen] == ["something else"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_precision_serves(dtype):
    train = torch.eye(3, dtype=dtype).repeat(5, 1).requires_grad_()
    got = linear_probe(train, [4, -1, 7] * 5, torch.eye(3)).labels
    assert got.dtype == torch.int64
    assert got.tolist() == [4, -1, 7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regularisation": 0.0}, r"`regularisation` must be positive and finite\. Got 0\.0\."),
        ({"regularisation": math.inf}, r"`regularisation` must be positive and finite\. Got inf\."),
        ({"max_steps": 0}, r"`max_steps` must be at least 1\. Got 0\."),
        ({"train": torch.ones(0, 2)}, r"`train` must not be empty\. Got shape \(0, 2\)\."),
        ({"queries": torch.ones(0, 2)}, r"`queries` must not be empty\. Got shape \(0, 2\)\."),
        ({"queries": torch.ones(1, 2).to_sparse()}, r"`queries` must be torch.strided, as `train` is.*"),
        (
            {"train": torch.tensor([[1, 0], [0, math.nan]] * 2).to_sparse()},
            r"`train` must be finite. Got nan in row 1.",
        ),
        ({"queries": torch.ones(1, 3)}, r"`queries` must have 2 columns, as `train` has\. Got 3\."),
        ({"train_labels": [1, 2]}, r"`train_labels` must have one entry per embedding, \(3,\)\. Got shape \(2,\)\."),
        ({"train_labels": [6, 6, 6]}, r"`train_labels` must hold at least 2 different labels\. Got 1\."),
    ],
)
def test_mistakes_are_named(change, message):
    good = {"train": torch.ones(3, 2), "train_labels": [1, 2, 3], "queries": torch.ones(1, 2)}
    with pytest.raises(ValueError, match=f"^{message}$"):
        linear_probe(**(good | change))


def test_many_numbers_are_fitted_in_float32_to_the_same_labels(monkeypatch):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 40))
    labels = rng.integers(0, 5, 1500)
    rows = torch.tensor(1000 + centres[labels] + 2 * rng.normal(size=(1500, 40)))
    known, queries = rows[:1000], rows[1000:]
    exact = linear_probe(known, labels[:1000], queries)
    seen = []
    fit = MODULE._fit

    def watched(model, embeddings, labels):
        seen.append(embeddings.dtype)
        return fit(model, embeddings, labels)

    monkeypatch.setattr(MODULE, "_fit", watched)
    monkeypatch.setattr(MODULE, "_PRECISE", 1000)
    rounded = linear_probe(known, labels[:1000], queries)
    assert seen == [np.float32]
    assert rounded.converged == exact.converged
    assert (rounded.labels == exact.labels).double().mean() > 0.99
