"""Relations inside Triton's tiles: every entry is what it is in torch, whatever relations are made of."""

import operator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart import before, dense, edges, everyone, gaussian, listed, paired, same, within
from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels import triton_launch, triton_tiles
from tellapart._engine.kernels.accumulators import LogitGrad
from tellapart._engine.kernels.grid import tiling
from tellapart._engine.kernels.interface import Block
from tellapart._engine.kernels.triton_masks import MOST_LEAVES, why_not
from tellapart.negatives import alike
from tellapart.relations import Pairs, beside, other_views
from tests._engine.kernels.triton_here import needs_triton

N, M = 19, 37
TIMES = torch.arange(N) * 0.7 % 3, torch.arange(M).double() * 0.3 % 3
HUB = torch.stack([torch.arange(60) * 5 % N * (torch.arange(60) % 2), torch.arange(60) % M])
GUIDE = torch.randn(N + M, 40, generator=torch.Generator().manual_seed(1)).split([N, M])
LEAVES = {
    "paired": paired(),
    "everyone": everyone(),
    "listed": listed(torch.arange(N) * 5 % M),
    "labels": same(torch.arange(N) % 4, torch.arange(M) % 3),
    "words": same([f"{i % 5}" for i in range(N)], [f"{i % 7}" for i in range(M)]),
    "within": within(*TIMES, 0.1),
    "gaussian": gaussian(*TIMES, 0.3),
    "narrow gaussian": gaussian(*TIMES, 0.05),
    "before": before(*TIMES),
    "edges": edges(HUB),
    "weighted edges": edges(HUB, 0.1 + torch.arange(60) % 7),
    "alike": alike(GUIDE[0], GUIDE[1], torch.linspace(-0.5, 0.5, N)),
    "alike, from the keys": alike(GUIDE[1], GUIDE[0], torch.linspace(-0.5, 0.5, M)).transposed(),
    "beside": beside(paired(), 7, same(torch.arange(N) % 4, torch.arange(M - 7) % 3)),
    "weights beside": beside(edges(HUB[:, :20] % 19), 19, gaussian(TIMES[0], TIMES[1][:18], 0.3)),
    "no edge": edges(torch.zeros(2, 0, dtype=torch.long)),
}
expressions = st.recursive(
    st.sampled_from(sorted(LEAVES)).map(LEAVES.get),
    lambda parts: st.one_of(
        parts.map(operator.invert), st.builds(operator.and_, parts, parts), st.builds(operator.or_, parts, parts)
    ),
    max_leaves=4,
)


def entries(candidates):
    """What tiles make of the candidates: `G K` and `Gᵀ Q` of zeros and unit matrices, where G holds the weights."""
    n, _, c, *_ = candidates
    found = []
    for queries, keys in ((torch.zeros(n, c), torch.eye(c)), (torch.eye(n), torch.zeros(c, n))):
        block = Block(queries, keys, 1.0, candidates, "exp", tiling())
        into = torch.zeros_like(queries), torch.zeros_like(keys)
        triton_tiles.TritonTiles().backward(block, {}, LogitGrad(torch.ones(n), None), None, into)
        found.append(into)
    return found[0][0], found[1][1].T


@needs_triton
@pytest.mark.parametrize("in_registers", [256, 0])
@settings(max_examples=10)
@given(relation=expressions, further=st.sampled_from([0, 3]))
def test_entries_of_any_expression_are_those_of_its_relation(in_registers, relation, further):
    expected = relation.tile(slice(0, N), slice(0, M)).float()
    expected = torch.cat([expected, torch.ones(N, further)], dim=1)  # negatives behind the keys all count
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_launch, "IN_REGISTERS", in_registers)
        for found in entries(Candidates(N, M, M + further, among=relation)):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-30)


@needs_triton
def test_listed_pairs_are_left_out_in_any_order_of_their_columns():
    views = other_views(9).pairs(36, 36)
    unsorted = Pairs(torch.tensor([0, 0, 0, 35]), torch.tensor([30, 2, 17, 0]))
    candidates = Candidates(36, 36, 36, left_out=(views, unsorted, paired().pairs(36, 36)))
    expected = torch.ones(36, 36)
    for pairs in candidates.left_out:
        expected[pairs.rows, pairs.cols] = 0
    for found in entries(candidates):
        assert torch.equal(found, expected)


@needs_triton
def test_views_of_one_example_are_a_period_apart():
    for relation in (other_views(6), ~other_views(6), other_views(6) | paired()):
        for found in entries(Candidates(24, 24, 24, among=relation)):
            assert torch.equal(found, relation.tile(slice(0, 24), slice(0, 24)).float())


@pytest.mark.parametrize(
    ("relation", "reason"),
    [
        (~dense(torch.eye(3)), "a given matrix is read from memory"),
        (listed(torch.arange(3)).transposed(), "read from the other side"),
        (paired() & within(torch.ones(3, 2), None, 1.0), "distances of points"),
        (paired(), None),
        (None, None),
    ],
)
def test_what_no_tile_evaluates_is_refused_with_the_reason(relation, reason):
    found = why_not(relation)
    assert found is None if reason is None else reason in found


def test_a_mask_of_very_many_parts_is_refused():
    relation = paired()
    for _ in range(MOST_LEAVES):
        assert why_not(relation) is None
        relation = relation | same([1, 2])
    assert f"more than {MOST_LEAVES}" in why_not(relation)
