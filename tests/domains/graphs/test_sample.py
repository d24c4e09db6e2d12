"""Parts of a graph against what a search edge by edge finds."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.domains.graphs import Sampler
from tellapart.domains.graphs.graph import make_graph


def random_graph(seed, n, degree):
    random = torch.Generator().manual_seed(seed)
    pairs = torch.randint(n, (2, max(1, n * degree // 2)), generator=random)
    pairs[:, 0] = torch.tensor([0, 1])  # an edge at least
    return make_graph("x", [str(i) for i in range(n)], torch.arange(n).float()[:, None], pairs, None)


def within(graph, start, steps):
    """All nodes at most so many edges away."""
    neighbours = {i: set() for i in range(len(graph))}
    for a, b in graph.edge_index.T.tolist():
        neighbours[a].add(b)
    reached = set(start)
    for _ in range(steps):
        reached |= {b for a in reached for b in neighbours[a]}
    return reached


@given(
    st.integers(0, 99), st.integers(3, 40), st.integers(0, 6), st.integers(0, 3), st.integers(1, 4), st.integers(1, 3)
)
def test_a_part_has_those_asked_for_their_company_and_all_edges_between_its_nodes(
    seed, n, degree, company, fan_out, steps
):
    graph = random_graph(seed, n, degree)
    torch.manual_seed(seed)
    rows = torch.randperm(n)[: max(1, n // 3)]
    part = Sampler(graph, company, fan_out, steps).part(rows)
    nodes = part.features[:, 0].long().tolist()  # each node's feature is its number
    assert nodes[: len(rows)] == rows.tolist()
    assert len(set(nodes)) == len(nodes)
    embedded = set(nodes[: part.n_asked])
    assert embedded <= within(graph, rows.tolist(), 1)
    assert part.n_asked <= len(rows) * (1 + company)
    assert set(nodes) <= within(graph, embedded, steps)
    place = {node: i for i, node in enumerate(nodes)}
    between = {(place[a], place[b]) for a, b in graph.edge_index.T.tolist() if a in place and b in place}
    assert {tuple(e) for e in part.edge_index.T.tolist()} == between
    assert part.edge_index.shape[1] == len(between)
    among = {(a, b) for a, b in between if a < part.n_asked and b < part.n_asked}
    assert {tuple(e) for e in part.edges_among_asked().T.tolist()} == among


@given(st.integers(0, 99), st.integers(3, 30), st.integers(1, 6))
def test_with_room_for_all_neighbours_it_reaches_all_of_them(seed, n, degree):
    graph = random_graph(seed, n, degree)
    rows = torch.tensor([0, 2])
    part = Sampler(graph, company=n, fan_out=n, steps=2).part(rows)
    nodes = part.features[:, 0].long().tolist()
    assert set(nodes[: part.n_asked]) == within(graph, [0, 2], 1)
    assert set(nodes) == within(graph, [0, 2], 3)


def test_of_all_nodes_it_is_the_whole_graph():
    graph = random_graph(0, 20, 4)
    part = Sampler(graph, company=1, fan_out=1, steps=1).part(torch.randperm(20))
    assert torch.equal(part.features, graph.features)
    assert torch.equal(part.edge_index, graph.edge_index)
    assert part.n_asked == 20


def test_neighbours_are_drawn_evenly_and_without_replacement():
    star = torch.stack([torch.zeros(5, dtype=torch.long), torch.arange(1, 6)])
    graph = make_graph("star", list("abcdef"), torch.arange(6.0)[:, None], star, None)
    torch.manual_seed(0)
    sampler, drawn = Sampler(graph, company=2, fan_out=1, steps=1), Counter()
    for _ in range(2000):
        part = sampler.part(torch.tensor([0]))
        drawn_now = part.features[1 : part.n_asked, 0].int().tolist()
        assert len(set(drawn_now)) == 2
        drawn.update(drawn_now)
    # 800 each on average, with a deviation of √(2000 · 0.4 · 0.6) ≈ 22
    assert all(drawn[leaf] == pytest.approx(800, abs=5 * 22) for leaf in range(1, 6))


def test_sparse_features_are_those_of_the_same_nodes():
    dense = random_graph(1, 30, 4)
    sparse = make_graph("x", dense.names, dense.features.to_sparse(), dense.edge_index, None)
    parts = []
    for graph in (dense, sparse):
        torch.manual_seed(5)
        parts.append(Sampler(graph, company=1, fan_out=2, steps=2).part(torch.tensor([3, 4, 5])))
    assert torch.equal(parts[0].features, parts[1].features.to_dense())
    assert torch.equal(parts[0].edge_index, parts[1].edge_index)
