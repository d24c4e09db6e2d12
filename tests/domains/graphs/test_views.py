"""Views of a graph: what is left out, how often, and that it is left out in both directions."""

import pytest
import torch

from tellapart.domains.graphs import drop_features, drop_from_graph
from tellapart.domains.graphs.graph import both_directions


@pytest.fixture
def graph():
    random = torch.Generator().manual_seed(0)
    pairs = torch.randint(40, (2, 300), generator=random)
    return torch.randn(40, 2000, generator=random), both_directions(pairs[:, pairs[0] != pairs[1]], 40)


def test_an_edge_is_left_out_in_both_directions_or_not_at_all(graph):
    features, edge_index = graph
    torch.manual_seed(0)
    _, kept, _ = drop_from_graph(features, edge_index, edge_rate=0.4, feature_rate=0.0)
    left = {tuple(edge) for edge in kept.T.tolist()}
    assert {(b, a) for a, b in left} == left
    assert left < {tuple(edge) for edge in edge_index.T.tolist()}
    assert len(left) == kept.shape[1]


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.7])
def test_edges_and_features_are_left_out_at_their_own_rates(graph, rate):
    features, edge_index = graph
    torch.manual_seed(0)
    seen, kept, _ = drop_from_graph(features, edge_index, edge_rate=rate, feature_rate=0.9 - rate)
    n = edge_index.shape[1] // 2
    assert kept.shape[1] / 2 == pytest.approx((1 - rate) * n, abs=5 * (rate * (1 - rate) * n) ** 0.5)
    zero = (seen == 0).all(dim=0)
    assert zero.float().mean().item() == pytest.approx(0.9 - rate, abs=0.05)
    assert torch.equal(seen[:, ~zero], features[:, ~zero])


def test_sparse_features_lose_the_same_columns_as_dense_ones(graph):
    dense = graph[0] * (graph[0] > 1)
    for rate in (0.0, 0.5, 1.0):
        one, other = (drop_features(x, rate, torch.Generator().manual_seed(1)) for x in (dense, dense.to_sparse()))
        assert other.is_sparse
        assert torch.equal(other.to_dense(), one)
        assert bool((other.values() != 0).all())  # what is dropped is gone, and not kept as a zero


def test_two_views_differ(graph):
    torch.manual_seed(0)
    one, other = (drop_from_graph(*graph, edge_rate=0.3, feature_rate=0.3) for _ in range(2))
    assert one[1].shape != other[1].shape or not torch.equal(one[1], other[1])
    assert not torch.equal(one[0], other[0])
