"""An evaluation of many items is bounded, says so, and a small one is as it was."""

import sys

import pytest
import torch

from tellapart.evaluation import frozen, most_known, sampled

BOUNDS = sys.modules[most_known.__module__]


@pytest.mark.parametrize("width", [2, 192, 784, 2048, 16384])
@pytest.mark.parametrize("n_classes", [2, 10, 100, 1000])
def test_what_is_known_is_bounded_in_memory_and_its_probe_in_time(width, n_classes):
    n = most_known(width, n_classes)
    assert 2 <= n <= 60_000
    assert n * width * 8 <= 2**28 or n == 2  # float64
    steps = BOUNDS.probe_steps(n, width, n_classes)
    assert 50 <= steps <= 1000
    assert steps * n * width * n_classes <= 2**36 or n <= 5 * n_classes
    starts = BOUNDS.k_means_starts(10_000, width, n_classes)
    assert 1 <= starts <= 10
    assert starts * 10_000 * width * n_classes <= 2**30 or starts == 1


def test_a_sample_has_each_row_once_in_order_and_depends_on_the_seed():
    first = sampled(1000, 100, seed=0)
    assert len(first) == len(first.unique()) == 100
    assert torch.equal(first, first.sort().values)
    assert not torch.equal(first, sampled(1000, 100, seed=1))
    assert first[-1] > 500


def test_a_table_says_where_it_took_fewer_starts_or_steps(monkeypatch):
    torch.manual_seed(0)
    labels, vectors = torch.arange(80) % 4, torch.randn(80, 12)
    assert not any("bound" in note for note in frozen({"x": (vectors, vectors)}, labels, labels, "").notes)
    monkeypatch.setattr(BOUNDS, "_K_MEANS", 80 * 12 * 4 * 3)
    monkeypatch.setattr(BOUNDS, "_PROBE", 1)
    monkeypatch.setattr(BOUNDS, "_LEAST_STEPS", 2)
    notes = frozen({"x": (vectors, vectors)}, labels, labels, "").notes
    assert "x: k-means began 3 times, not 10 times, to bound the time." in notes
    assert "x: the linear probe had not converged after 2 steps; more could change it." in notes
