"""Relations against matrices built by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import dense, listed, paired, same

N, M = 5, 7


@st.composite
def relations(draw, depth=2):
    """A relation of N queries and M keys with its matrix, by NumPy."""
    kinds = ["paired", "listed", "same", "texts", "dense", "weights"] + ["and", "or", "not"] * (depth > 0)
    kind = draw(st.sampled_from(kinds))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "paired":
        return paired(), np.eye(N, M)
    if kind == "listed":
        index = rng.integers(0, M, N)
        return listed(torch.tensor(index)), np.eye(M)[index]
    if kind in ("same", "texts"):
        a, b = rng.integers(0, 3, N), rng.integers(0, 3, M)
        matrix = (a[:, None] == b).astype(float)
        if kind == "same":
            return same(torch.tensor(a), torch.tensor(b)), matrix
        return same([f"née {x}" for x in a], [f"née {x}" for x in b]), matrix
    if kind in ("dense", "weights"):
        matrix = rng.random((N, M)).round(1) * (rng.random((N, M)) < 0.5)
        matrix = matrix if kind == "weights" else (matrix > 0).astype(float)
        return dense(torch.tensor(matrix) if kind == "weights" else torch.tensor(matrix > 0)), matrix
    left, a = draw(relations(depth=depth - 1))
    if kind == "not":
        return ~left, (a == 0).astype(float)
    right, b = draw(relations(depth=depth - 1))
    return (left & right, a * b) if kind == "and" else (left | right, np.maximum(a, b))


@given(relations(), st.integers(0, N - 1), st.integers(1, N), st.integers(0, M - 1), st.integers(1, M))
def test_any_tile_of_any_composition_equals_that_part_of_the_matrix(pair, top, height, left, width):
    relation, matrix = pair
    rows, cols = slice(top, min(N, top + height)), slice(left, min(M, left + width))
    relation.check("positives", N, M)
    np.testing.assert_allclose(relation.tile(rows, cols).double().numpy(), matrix[rows, cols])


def test_same_takes_texts_arrays_and_tensors_and_one_list_for_both_sides():
    square = (slice(0, 3), slice(0, 3))
    expected = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    for ids in (["a", "b", "a"], ("猫", "いぬ", "猫"), np.array([4, 9, 4]), torch.tensor([4, 9, 4])):
        assert same(ids).tile(*square).int().tolist() == expected
    for ids in (np.array(["x", "y", "x"]), list(torch.tensor([4, 9, 4])), [4, 9, 4]):
        assert same(ids).tile(*square).int().tolist() == expected
    assert same(torch.tensor([4, 9, 4]), [4, 9, 4]).tile(*square).int().tolist() == expected


def test_weights_carry_no_gradient():
    weights = torch.rand(2, 2, requires_grad=True)
    assert not dense(weights).tile(slice(0, 2), slice(0, 2)).requires_grad


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: same(torch.tensor([0.5])), TypeError, "`query_ids` must hold integers or hashable ids"),
        (lambda: listed(torch.tensor([0.5])), TypeError, "`index` must hold integers"),
        (lambda: listed(torch.tensor([True])), TypeError, r"`index` must hold integers; dense\(\) takes a mask"),
        (lambda: same(np.array([0.5])), TypeError, "`query_ids` must hold integers or hashable ids"),
        (lambda: same(torch.tensor([[1]])), ValueError, "`query_ids` must have 1 dimension"),
        (lambda: dense(torch.ones(3)), ValueError, "`matrix` must have 2 dimensions"),
        (lambda: dense(torch.tensor([[-1.0]])), ValueError, "`matrix` must hold finite weights ≥ 0. Got -1.0"),
        (lambda: dense(torch.tensor([[float("nan")]])), ValueError, "`matrix` must hold finite weights"),
        (lambda: same([1, 2]).check("positives", 2, 3), ValueError, "as many keys as there are, 3. Got 2"),
        (lambda: (~dense(torch.ones(2, 2))).check("exclude", 3, 2), ValueError, "`exclude` must relate as many"),
        (lambda: (paired() & same([1])).check("positives", 2, 2), ValueError, "as many queries as there are, 2"),
    ],
)
def test_a_relation_that_cannot_be_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()
