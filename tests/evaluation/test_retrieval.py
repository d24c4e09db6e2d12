"""Retrieval against counting by hand, and chance against all orders there are."""

import sys
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import dense, edges, paired, same
from tellapart.evaluation import Table, both_ways, chance, retrieval
from tests.oracle import similarity


@given(st.integers(1, 8), st.integers(1, 9), st.integers(0, 2**32 - 1), st.booleans())
def test_ranks_equal_those_of_a_count_by_hand(n, m, seed, listed):
    rng = np.random.default_rng(seed)
    q, k = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    related = rng.random((n, m)) < 0.4
    related[0, 0] = True
    ranks = []
    for i in range(n):
        s = [similarity(q[i], x, "cosine") for x in k]
        if related[i].any():
            best = max(s[j] for j in range(m) if related[i, j])
            ranks.append(1 + sum(s[j] >= best for j in range(m) if not related[i, j]))
    relevant = edges(torch.from_numpy(np.argwhere(related).T)) if listed else dense(torch.tensor(related))
    got = retrieval(torch.tensor(q), torch.tensor(k), relevant, ks=(1, 3))
    assert got.recall == {k: pytest.approx(np.mean([r <= k for r in ranks])) for k in (1, 3)}
    assert got.median_rank == np.median(ranks)
    assert got.n_queries == len(ranks)


def test_an_encoder_that_maps_everything_to_one_point_finds_nothing():
    point = torch.ones(20, 4)
    assert retrieval(point, point, paired()).recall == {1: 0, 5: 0, 10: 0}


def test_chunks_do_not_change_the_result(monkeypatch):
    q, k = torch.randn(30, 4), torch.randn(30, 4)
    whole = retrieval(q, k, paired())
    monkeypatch.setattr(sys.modules[retrieval.__module__], "_CHUNK", 7)
    assert retrieval(q, k, paired()) == whole


@pytest.mark.parametrize("related", [[[1, 0, 0, 0, 0]], [[1, 1, 0, 0, 0]], [[1, 1, 1, 1, 0], [0, 0, 1, 0, 0]]])
def test_chance_is_the_mean_over_all_orders(related):
    matrix = np.array(related)
    n, m = matrix.shape
    # The rank of the first related key, for every query in every order of the keys.
    ranks = [1 + min(np.flatnonzero(row[list(order)])) for row in matrix for order in permutations(range(m))]
    got = chance(dense(torch.tensor(matrix)), n, m, ks=(1, 2, 5, 9))
    for k in (1, 2, 5, 9):
        assert got.recall[k] == pytest.approx(np.mean([r <= k for r in ranks]))
    median = got.median_rank
    assert np.mean([r <= median for r in ranks]) >= 0.5
    assert np.mean([r < median for r in ranks]) < 0.5


def test_no_pair_relevant_is_refused():
    no_pair = same([1, 2], [3, 4])
    with pytest.raises(ValueError, match="`relevant` must relate at least one query"):
        retrieval(torch.eye(2), torch.eye(2), no_pair)
    with pytest.raises(ValueError, match="`relevant` must relate at least one query"):
        chance(no_pair, 2, 2)


def test_the_table_shows_both_directions_and_every_model():
    pair = torch.eye(12), torch.eye(12)
    table = both_ways(("a", "b"), paired(), {"perfect": pair}, "title")
    assert [row[:2] for row in table.rows] == [
        ["a → b", "chance"],
        ["", "perfect"],
        ["b → a", "chance"],
        ["", "perfect"],
    ]
    assert table.cells()[1] == ["", "perfect", "1.000", "1.000", "1.000", "1"]
    assert Table(**table.as_dict()) == table


def test_the_kinds_may_be_of_different_numbers_and_the_relation_is_turned():
    relevant = edges(torch.tensor([[0, 0, 1], [0, 1, 2]]))
    table = both_ways(("a", "b"), relevant, {"perfect": (torch.eye(3)[:2], torch.eye(3)[[0, 0, 1, 2]])}, "title")
    assert [row[2] for row in table.rows] == pytest.approx([(1 / 2 + 1 / 4) / 2, 1, 1 / 2, 1])


def test_a_rank_of_one_and_a_half_is_shown_as_such():
    assert Table("", [""], [[1.5], [2.0]], ["g"], []).cells() == [["1.5"], ["2"]]
