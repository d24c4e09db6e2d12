"""How rows are held out: whole groups, near the share that was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.domains.held_out import divide


@given(st.lists(st.integers(1, 60), min_size=4, max_size=30), st.floats(0.01, 0.6), st.integers(0, 99))
def test_groups_stay_whole_and_at_least_two_are_on_either_side(sizes, share, seed):
    group = np.repeat(np.arange(len(sizes)), sizes)
    kept, out = (set(group[rows].tolist()) for rows in divide(group, share, seed))
    assert not kept & out
    assert min(len(kept), len(out)) >= 2


@given(st.integers(0, 99), st.integers(100, 900))
def test_a_large_group_does_not_take_most_of_the_rows_with_it(seed, large):
    sizes = [large, *[5] * 60]
    group = np.repeat(np.arange(len(sizes)), sizes)
    _, out = divide(group, 0.2, seed)
    assert len(out) <= 0.3 * len(group)
    assert len(out) >= min(0.2 * len(group), 290)  # all small groups but two, where these are too few


@given(st.integers(4, 300), st.floats(0.02, 0.5), st.integers(0, 99))
def test_single_rows_are_held_out_until_their_share_is_reached(n, share, seed):
    _, out = divide(np.arange(n), share, seed)
    expected = np.clip(np.ceil(share * n), 2, n - 2)
    assert len(out) == pytest.approx(expected, abs=1e-9)
