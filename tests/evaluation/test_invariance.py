"""How far a change moves embeddings, against the formula in loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.evaluation import relative_distance


@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 1000), st.sampled_from([0.0, 1e-4, 1.0]))
def test_it_is_the_formula(n, d, seed, noise):
    generator = torch.Generator().manual_seed(seed)
    before = torch.randn(n, d, generator=generator)
    after = before + noise * torch.randn(n, d, generator=generator)
    u, v = (x.double() / x.double().norm(dim=1, keepdim=True) for x in (before, after))
    moved = math.fsum(math.dist(a, b) for a, b in zip(u.tolist(), v.tolist(), strict=True)) / n
    pairs = [math.dist(u[i].tolist(), u[j].tolist()) for i in range(n) for j in range(n) if i != j]
    apart = math.fsum(pairs) / len(pairs)
    expected = moved / apart if apart else math.inf if moved else 0.0
    assert relative_distance(before, after) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_lengths_do_not_count():
    before, after = torch.randn(5, 3), torch.randn(5, 3)
    scale = torch.arange(1.0, 6.0)[:, None]
    assert relative_distance(before * scale, after / scale) == pytest.approx(relative_distance(before, after))


def test_more_than_a_chunk_is_the_same_sum(monkeypatch):
    from tellapart.evaluation import invariance

    before, after = torch.randn(50, 3), torch.randn(50, 3)
    whole = relative_distance(before, after)
    monkeypatch.setattr(invariance, "_CHUNK", 7)
    assert relative_distance(before, after) == pytest.approx(whole)


def test_a_collapse_moves_not_at_all_or_infinitely_far():
    alike = torch.ones(4, 3)
    assert relative_distance(alike, alike) == 0
    assert relative_distance(alike, -alike) == math.inf


def test_sides_of_different_shapes_and_single_rows_are_refused():
    with pytest.raises(ValueError, match="`after` must have the shape of `before`"):
        relative_distance(torch.ones(3, 2), torch.ones(2, 2))
    with pytest.raises(ValueError, match="2 rows or more"):
        relative_distance(torch.ones(1, 2), torch.ones(1, 2))
