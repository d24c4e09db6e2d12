"""T1: what the loss is. T2: what it does to a query. T3: which negatives push, at which temperature."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import info_nce, info_nce_terms
from tellapart.diagnostics import effective_negatives, forces, hardest_share, shares
from tests.theory.families import line_ups, own, rounding

EPS = torch.finfo(torch.float64).eps
scores = st.sampled_from(["dot", "cosine", "sqeuclidean"])


@given(line_ups(), scores, st.sampled_from(["dense", "tiled"]))
def test_t1_info_nce_is_softmax_cross_entropy_over_the_line_up(family, score, engine):
    """`L_i = −S_i⁺ + log Σ_j exp S_ij`, that is cross-entropy with the positive as the class."""
    logits = family.logits(score)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(family.n), reduction="none")
    options = {"score": score, "temperature": family.temperature, "engine": engine}
    found = info_nce(family.queries, family.keys, reduction="none", **options)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=64 * EPS * (1 + logits.abs().max().item()))


@given(line_ups())
def test_t2_the_counterpart_pulls_and_the_weighed_crowd_pushes(family):
    """`∂L_i/∂q_i = (Σ_j p_ij k_j − k_i⁺) / τ` for dot products: pull k⁺/τ, push the mean key under the shares."""
    tau, options = family.temperature, {"score": "dot", "temperature": family.temperature}
    p = family.logits("dot").softmax(1)
    found = forces(family.queries, family.keys, **options)
    torch.testing.assert_close(shares(family.queries, family.keys, **options), p)
    torch.testing.assert_close(found.pull, family.keys[: family.n] / tau)
    torch.testing.assert_close(found.push, p @ family.keys / tau)
    moved = family.queries.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(info_nce(moved, family.keys, reduction="sum", **options), moved)
    torch.testing.assert_close(found.gradient, gradient)


@given(line_ups())
def test_t2_with_cosines_both_forces_lie_across_the_query_and_shrink_with_its_length(family):
    """`pull_i = (k̂⁺ − cos⁺ q̂_i) / (τ ‖q_i‖)`, and the push is its mean over the candidates, weighted by the shares."""
    tau = family.temperature
    q, k = (torch.nn.functional.normalize(x) for x in (family.queries, family.keys))
    cosines, lengths = q @ k.T, family.queries.norm(dim=1)
    across = (k[None] - cosines[:, :, None] * q[:, None]) / (tau * lengths[:, None, None])
    found = forces(family.queries, family.keys, temperature=tau)
    scale = {"rtol": 1e-8, "atol": 1e-12 / (tau * lengths.min().item())}
    torch.testing.assert_close(found.pull, across[range(family.n), range(family.n)], **scale)
    torch.testing.assert_close(found.push, ((cosines / tau).softmax(1)[:, :, None] * across).sum(1), **scale)


@given(line_ups(least_keys=3), scores)
def test_t3_a_low_temperature_leaves_the_push_to_the_hardest_negative(family, score):
    """`share ≥ 1 / (1 + (K − 1) exp(−Δ/τ))`, Δ being how much less the next hardest scores; and it is at least 1/K."""
    positive, negatives = own(family.logits(score))
    best = negatives.topk(2, dim=1).values
    gap, k = best[:, 0] - best[:, 1], negatives.shape[1]
    found = hardest_share(info_nce_terms(family.queries, family.keys, score=score, temperature=family.temperature))
    slack = rounding(positive, negatives).expm1()
    assert ((found - negatives.softmax(1).amax(1)).abs() <= slack).all()
    assert (found >= 1 / (1 + (k - 1) * torch.exp(-gap)) - slack).all()
    assert (found >= 1 / k - 1e-12).all()
    assert (found <= 1 + 1e-12).all()


@given(line_ups(least_keys=3), scores)
def test_t3_a_high_temperature_lets_all_negatives_push_alike(family, score):
    """`0 ≤ log K − H ≤ R²/8`, R being the range of the negatives' logits, which is that of the scores over τ."""
    _, negatives = own(family.logits(score))
    spread = negatives.amax(1) - negatives.amin(1)
    effective = effective_negatives(family.queries, family.keys, score=score, temperature=family.temperature)
    missing, slack = math.log(negatives.shape[1]) - effective.log(), 1e-12 * (1 + negatives.abs().amax(1))
    assert (missing >= -slack).all()
    assert (missing <= spread.square() / 8 + slack).all()
    torch.testing.assert_close(effective, torch.special.entr(negatives.softmax(1)).sum(1).exp())


@given(line_ups(least_keys=3), st.floats(1.1, 10))
def test_t3_in_between_warming_spreads_the_push(family, factor):
    """`dH/dτ = Var_p(S)/τ ≥ 0`, and the hardest share falls."""
    cold, warm = ({"temperature": tau} for tau in (family.temperature, factor * family.temperature))
    q, k = family.queries, family.keys
    assert (effective_negatives(q, k, **warm) >= effective_negatives(q, k, **cold) * (1 - 1e-9)).all()
    slack = rounding(*own(family.logits("cosine"))).expm1()
    assert (hardest_share(info_nce_terms(q, k, **warm)) <= hardest_share(info_nce_terms(q, k, **cold)) + slack).all()


@pytest.mark.parametrize("score", ["dot", "cosine", "sqeuclidean"])
def test_t3_both_limits_are_reached(score):
    torch.manual_seed(0)
    q, k = torch.randn(5, 4, dtype=torch.float64), torch.randn(30, 4, dtype=torch.float64)
    cold, hot = ({"score": score, "temperature": tau} for tau in (1e-4, 1e4))
    torch.testing.assert_close(hardest_share(info_nce_terms(q, k, **cold)), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(effective_negatives(q, k, **cold), torch.ones(5, dtype=torch.float64))
    for value, limit in ((hardest_share(info_nce_terms(q, k, **hot)), 1 / 29), (effective_negatives(q, k, **hot), 29)):
        torch.testing.assert_close(value, torch.full_like(value, limit), rtol=1e-2, atol=0)
