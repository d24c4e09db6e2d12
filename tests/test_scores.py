"""Every score's inner-product form against the score itself."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import Bilinear, scores
from tellapart.scores import cosine, sqeuclidean, unit, unit_rows
from tests.harness import SCORES


def as_matrix(form):
    scores = form.queries @ form.keys.T
    scores = scores if form.query_bias is None else scores + form.query_bias[:, None]
    return scores if form.key_bias is None else scores + form.key_bias


@given(
    st.sampled_from(sorted(SCORES)),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from((1e-6, 1.0, 1e6)),
    st.integers(0, 2**32 - 1),
)
def test_inner_product_form_equals_the_score(score, n, m, d, size, seed):
    rng = np.random.default_rng(seed)
    q, k = rng.normal(size=(n, d)) * size, rng.normal(size=(m, d)) * size
    got = as_matrix(scores.resolve(score)(torch.tensor(q), torch.tensor(k)))
    expected = [[SCORES[score](a, b) for b in k] for a in q]
    vectors = [*q, *k]
    largest = max(abs(SCORES[score](a, b)) for a in vectors for b in vectors)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * largest)


def test_every_score_that_has_a_name_has_its_formula_in_the_oracle():
    assert set(SCORES) == set(scores._BY_NAME)


def test_squared_distances_far_from_the_origin_do_not_cancel():
    """Two points 1 apart at 10⁴ from the origin: the expanded square alone would be off by ±8 in float32."""
    q = torch.tensor([[1e4, 1e4]])
    k = torch.tensor([[1e4 + 1, 1e4], [1e4, 1e4]])
    torch.testing.assert_close(as_matrix(sqeuclidean(q, k)), torch.tensor([[-1.0, 0.0]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("exponent", [-1.0, -0.6, -0.3, 0.0, 0.3, 0.6, 0.99])
def test_unit_vectors_have_length_one_at_any_length_the_dtype_can_hold(dtype, exponent):
    """PEERS 17: normalising in half precision with an epsilon below its smallest number gives NaN."""
    info = torch.finfo(dtype)
    size = info.tiny**-exponent if exponent < 0 else info.max**exponent
    v = (torch.tensor([[0.6, -0.8], [1.0, 0.0], [0.0, 0.0]], dtype=torch.float64) * size).to(dtype)
    expected = torch.tensor([[0.6, -0.8], [1.0, 0.0], [0.0, 0.0]], dtype=dtype)
    torch.testing.assert_close(unit(v), expected, atol=8 * info.eps, rtol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_cosine_of_a_vector_that_is_not_finite_is_refused_by_name(bad):
    v = torch.ones(3, 2)
    w = v.clone()
    w[1, 0] = bad
    with pytest.raises(ValueError, match=rf"`keys` must be finite. Got {bad} in row 1"):
        cosine(v, w)
    with pytest.raises(ValueError, match="`vectors` must be finite"):
        unit(w)


@given(st.lists(st.sampled_from((0.0, 1e-30, 1.0, 1e30)), min_size=2, max_size=3), st.integers(0, 2**32 - 1))
def test_rows_brought_to_length_one_together_are_those_brought_to_it_apart(sizes, seed):
    """Values, gradients and second derivatives, of parts of any length, one of which wants no gradient."""
    generator = torch.Generator().manual_seed(seed)
    apart = [size * torch.randn(2, 3, generator=generator) for size in sizes]
    together = [part.clone() for part in apart]
    for part in (*apart[1:], *together[1:]):
        part.requires_grad_()
    push = torch.randn(2 * len(sizes), 3, generator=generator)
    rows = {f"part {i}": part for i, part in enumerate(together)}
    found = []
    for parts, vectors in ((apart, torch.cat([unit(part) for part in apart])), (together, unit_rows(**rows))):
        first = torch.autograd.grad((vectors * push).sum(), parts[1:], create_graph=True)
        second = torch.autograd.grad(sum(x.square().sum() for x in first), parts[1:], allow_unused=True)
        found.append([vectors, *first, *(torch.zeros(()) if x is None else x for x in second)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_the_part_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match=r"`negatives` must be finite. Got nan in row 1"):
        unit_rows(keys=torch.ones(2, 2), negatives=torch.tensor([[1.0, 1.0], [1.0, float("nan")]]))


@given(
    st.lists(st.sampled_from((0.0, 1e-36, 1e-25, 1.0, 1e25, 3e37)), min_size=1, max_size=4), st.integers(0, 2**32 - 1)
)
def test_on_a_device_unit_vectors_and_gradients_are_those_of_float64_with_many_rows_or_few(sizes, seed):
    """Where no length can be looked at."""
    rng = np.random.default_rng(seed)
    rows, upstream = torch.tensor(rng.normal(size=(2, len(sizes), 3)) * np.array(sizes)[:, None]).float()
    upstream = upstream.nan_to_num()
    exact = rows.double().requires_grad_()
    expected = unit(exact)
    (gradient,) = torch.autograd.grad(expected, exact, upstream.double())
    for few in (0, scores._FEW):
        with patch.multiple(scores, at_hand=lambda _: False, _FEW=few):
            given_rows = rows.clone().requires_grad_()
            found = unit(given_rows)
            (to_rows,) = torch.autograd.grad(found, given_rows, upstream)
        torch.testing.assert_close(found, expected.float(), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(to_rows, gradient.float(), rtol=1e-5, atol=1e-6)


def test_a_zero_vector_has_a_finite_gradient():
    v = torch.zeros(2, 3, requires_grad=True)
    unit(v).sum().backward()
    assert v.grad.isfinite().all()


def test_the_gradient_of_a_unit_vector_is_tangential_and_falls_with_length():
    """∂(v/‖v‖)/∂v has no part along v, and is 1/‖v‖ times that of the unit vector."""
    v = torch.randn(5, 4, dtype=torch.float64)
    push = torch.randn(5, 4, dtype=torch.float64)
    gradients = []
    for length in (1.0, 10.0):
        x = (v * length).requires_grad_()
        (unit(x) * push).sum().backward()
        gradients.append(x.grad)
        assert (x.grad * v).sum(dim=1).abs().max() < 1e-14
    torch.testing.assert_close(gradients[0], gradients[1] * 10)


def test_a_bilinear_score_is_the_form_q_w_k():
    score = Bilinear(3, 2).double()
    q, k = torch.randn(4, 3).double(), torch.randn(5, 2).double()
    torch.testing.assert_close(as_matrix(score(q, k)), q @ score.weight @ k.T)
