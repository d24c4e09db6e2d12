"""Held-out edges in batches, against a search pair by pair."""

from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.domains.graphs import HeldLinks, Sampler
from tellapart.errors import InputError
from tests.domains.graphs.test_sample import random_graph


@given(st.integers(0, 99), st.integers(6, 30), st.integers(3, 6), st.integers(1, 9))
def test_each_node_is_to_find_what_held_out_edges_join_it_to_and_known_edges_are_no_candidates(seed, n, degree, size):
    graph = random_graph(seed, n, degree)
    try:
        known, linked = graph.hold_out(0.3, seed)
    except InputError:  # too few edges
        return
    data = SimpleNamespace(whole=graph, known=known, linked=linked)
    links = HeldLinks(data, Sampler(known, 0, 5, 2))
    rows = torch.arange(len(links))[:size]
    batch = links.batch(rows)
    nodes = batch.part.features[:, 0].long()  # each node's feature is its number
    first, second = nodes[batch.ends]
    assert torch.equal(torch.stack([first, second]), linked[:, rows])
    assert batch.ends.max() < batch.part.n_asked
    out = {frozenset(edge) for edge in linked.T.tolist()}
    seen = {frozenset(edge) for edge in known.edge_index.T.tolist()}
    positives, excluded = (x.tile(*[slice(0, len(rows))] * 2) for x in (batch.positives(), batch.exclude()))
    for i, a in enumerate(first.tolist()):
        for j, b in enumerate(second.tolist()):
            assert bool(positives[i, j]) == (frozenset((a, b)) in out)
            assert bool(excluded[i, j]) == (a == b or frozenset((a, b)) in seen)
    assert positives.diagonal().all()
