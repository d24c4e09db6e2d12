"""Suspected false negatives against all pairs in a loop."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.diagnostics import bands, false_negatives


@given(st.integers(1, 12), st.integers(1, 30), st.integers(1, 4), st.integers(1, 40), st.integers(0, 2**31))
def test_the_best_pairs_of_different_id_are_found_best_first(n, k, n_ids, room, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    ids = torch.randint(n_ids, (n,), generator=generator)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if ids[i] != ids[j]]
    cosine = {pair: torch.cosine_similarity(*x[list(pair)], dim=0).item() for pair in pairs}
    expected = sorted(pairs, key=lambda pair: -cosine[pair])[:k]
    with patch.object(bands, "_SCORES", room):
        found = false_negatives(x, ids, k)
    assert list(zip(found.rows.tolist(), found.cols.tolist(), strict=True)) == expected
    assert found.scores.tolist() == pytest.approx([cosine[pair] for pair in expected])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: false_negatives(torch.eye(2), [0, 1], k=0), "`k` must be at least 1. Got 0"),
        (lambda: false_negatives(torch.eye(2), [0, 1, 2]), "`ids` must relate as many queries"),
        (lambda: false_negatives(torch.full((2, 2), torch.nan), [0, 1]), "`embeddings` must be finite"),
    ],
)
def test_what_cannot_be_searched_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_half_precision_around_it_does_not_change_what_it_finds():
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    usual = false_negatives(x, torch.arange(60), k=10)
    with torch.autocast("cpu", torch.bfloat16):
        inside = false_negatives(x, torch.arange(60), k=10)
    assert inside.scores.dtype == torch.float32
    assert inside.rows.equal(usual.rows)
    assert inside.scores.equal(usual.scores)
