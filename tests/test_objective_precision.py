"""Rounding of the loss: small losses of large scores, half precision, extreme inputs, autocast."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import info_nce
from tests import oracle
from tests.engines import ENGINES, playing
from tests.harness import SCORES


@given(
    *(st.floats(-1e4, 1e4), st.floats(0, 40), st.integers(1, 30), st.sampled_from((torch.float32, torch.bfloat16))),
    st.sampled_from(ENGINES),
)
def test_the_error_of_a_small_loss_far_from_zero_is_at_most_twice_that_of_cross_entropy(level, gap, k, dtype, engine):
    """A counterpart `gap` nats ahead of k others, all near `level`: log Z and S⁺ cancel almost wholly."""
    keys = torch.full((k + 1, 1), level, dtype=torch.float64)
    keys[1:] -= gap
    query, keys = torch.ones(1, 1, dtype=dtype), keys.to(dtype)
    exact = keys.double()[:, 0]
    expected = (oracle.logsumexp(exact.tolist()) - exact[0]).item()
    plain = torch.nn.functional.cross_entropy(keys.float().T, torch.tensor([0])).item()
    with playing(engine) as name:
        got = info_nce(query, keys, score="dot", temperature=1.0, engine=name).item()
    # Z is a sum of k + 1 numbers, 1 the largest: each addition may round by half an ulp of the sum.
    rounding = (1 + k / 2) * torch.finfo(torch.float32).eps * max(1.0, expected)
    assert abs(got - expected) <= 2 * abs(plain - expected) + rounding


@pytest.mark.parametrize("tau", [1e-3, 1e-2, 1.0, 1e3])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_extreme_inputs_give_no_nan_or_inf(tau, score, dtype, symmetric, engine):
    """Zero vectors, duplicate rows, scores to ±1e4, one key: loss and all gradients stay finite."""
    # The gradient of a cosine is 1/‖v‖ times that of its direction; float16 ends at 65504.
    tiny = 1e-3 if dtype == torch.float16 else 1e-7
    rows = torch.tensor([[0.0, 0.0], [tiny, 0], [100.0, 0], [100.0, 0], [-100.0, 0], [0, 1e-3]])
    for count in (1, 6):
        q = rows[:count].to(dtype).requires_grad_()
        k = rows.flip(0)[-count:].to(dtype).requires_grad_()
        temperature = torch.tensor(tau, requires_grad=True)
        with playing(engine) as name:
            loss = info_nce(q, k, temperature=temperature, score=score, symmetric=symmetric, engine=name)
        loss.backward()
        for value in (loss, q.grad, k.grad, temperature.grad):
            if dtype != torch.float16 or tau >= 1e-2:
                assert value.isfinite().all()
            assert not value.isnan().any()


@given(
    st.integers(2, 12),
    st.integers(1, 16),
    st.floats(0.01, 100),
    st.sampled_from((torch.float32, torch.bfloat16, torch.float16)),
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.sampled_from(ENGINES),
)
def test_gradients_of_lower_precision_err_at_most_twice_as_much_as_those_of_the_plain_formula(
    n, d, tau, dtype, symmetric, seed, engine
):
    """Against float64 gradients of the same rounded inputs; the plain formula in float32, plus 4 ulp of the largest."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(n, d, generator=generator).to(dtype) for _ in range(2)]

    def plain(q, k):
        scores = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(k).T / tau
        ways = [scores, scores.T] if symmetric else [scores]
        return sum(torch.nn.functional.cross_entropy(way, torch.arange(n)) for way in ways) / len(ways)

    def ours(q, k):
        with playing(engine) as name:
            return info_nce(q, k, temperature=tau, symmetric=symmetric, engine=name)

    def gradients(loss, to):
        leaves = [x.clone().to(to).requires_grad_() for x in inputs]
        loss(*leaves).backward()
        return torch.cat([leaf.grad.double() for leaf in leaves])

    exact = gradients(plain, torch.float64)
    error = (gradients(ours, dtype) - exact).abs().max()
    bound = 2 * (gradients(plain, torch.float32) - exact).abs().max()
    # The result is rounded to its dtype; a normalised row scales rounding by 1/(τ‖v‖).
    shortest = min(x.double().norm(dim=1).min().item() for x in inputs)
    rounding = torch.finfo(dtype).eps * exact.abs().max() + 8 * torch.finfo(torch.float32).eps / (tau * shortest)
    assert error <= bound + rounding


def test_autocast_does_not_lower_the_precision_of_the_loss():
    q, k = torch.randn(32, 16), torch.randn(32, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = info_nce(q, k)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, info_nce(q, k), rtol=0, atol=0)
