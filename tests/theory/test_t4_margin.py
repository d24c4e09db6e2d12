"""T4: the negatives together demand a margin, which grows by τ ln 2 as they double; the loss is nearly its hinge."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import info_nce_terms, paired
from tellapart.diagnostics import effective_margin, hinge, hinge_error, planned_margin
from tellapart.theory.margins import hinge_against_negatives, margin_against_negatives
from tests.theory.families import line_ups, own, rounding, temperatures


def of_scores(positive, negatives, tau):
    """Terms of one query with these scores of positive and negatives: dot products in one dimension."""
    query, keys = torch.ones(1, 1, dtype=torch.float64), torch.tensor([[positive]], dtype=torch.float64)
    return info_nce_terms(query, keys, negatives=negatives[:, None], score="dot", temperature=tau)


@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(1, 5000), temperatures)
def test_t4_k_negatives_of_one_score_demand_beta_plus_tau_ln_k(alpha, beta, k, tau):
    """`m = β + τ ln K`, and `L = log(1 + K exp((β − α)/τ))` exactly."""
    negatives = torch.full((k,), beta, dtype=torch.float64)
    terms = of_scores(alpha, negatives, tau)
    rounded = rounding(torch.tensor([alpha / tau], dtype=torch.float64), negatives[None] / tau).item()
    assert effective_margin(terms, tau).item() == pytest.approx(planned_margin(k, tau, beta), abs=tau * rounded)
    exponent = (beta - alpha) / tau + math.log(k)
    exact = max(exponent, 0) + math.log1p(math.exp(-abs(exponent)))
    assert terms.loss().item() == pytest.approx(exact, rel=1e-9, abs=1e-12)


@given(line_ups(), st.integers(1, 4))
def test_t4_doubling_any_negatives_moves_the_margin_by_tau_ln_2(family, doublings):
    """For any scores: every negative occurs twice, four times, …"""
    q, tau = family.queries, family.temperature
    others, those = family.keys[family.n - 1 :], family.logits("cosine")[:, family.n - 1 :]
    no_keys = {"exclude": ~paired(), "temperature": tau}

    def margin(copies):
        return effective_margin(info_nce_terms(q, family.keys, negatives=others.repeat(copies, 1), **no_keys), tau)

    grown = margin(2**doublings) - margin(1)
    slack = 1e-6 + 2 * tau * rounding(family.logits("cosine").diagonal(), those)
    assert ((grown - doublings * tau * math.log(2)).abs() <= slack).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_t4_up_to_65536_negatives_each_doubling_adds_tau_ln_2_to_a_millionth(dtype):
    tau, query = 0.07, torch.tensor([[1.0, 0.0]], dtype=dtype)
    positive, other = torch.tensor([[0.28, -0.96], [0.28, 0.96]], dtype=dtype).split(1)
    margins = []
    for k in (2**i for i in range(17)):
        terms = info_nce_terms(query, positive, negatives=other.expand(k, 2), temperature=tau)
        margins.append(effective_margin(terms, tau).item())
    for before, after in itertools.pairwise(margins):
        assert after - before == pytest.approx(tau * math.log(2), abs=1e-6)


@given(line_ups())
def test_t4_the_margin_lies_between_the_planned_ones_of_the_mean_and_of_the_highest_score(family):
    """`max(β', β̄ + τ ln K) ≤ m ≤ β' + τ ln K`: the exponential is convex, and no term of a sum exceeds it."""
    tau = family.temperature
    _, scores = own(family.logits("cosine") * tau)
    m = effective_margin(info_nce_terms(family.queries, family.keys, temperature=tau), tau)
    spare, slack = tau * math.log(scores.shape[1]), tau * rounding(*own(family.logits("cosine")))
    assert (m >= torch.maximum(scores.amax(1), scores.mean(1) + spare) - slack).all()
    assert (m <= scores.amax(1) + spare + slack).all()


@given(line_ups(), st.sampled_from(["dot", "cosine", "sqeuclidean"]))
def test_t4_the_loss_is_a_softplus_of_the_margin_less_the_positives_score(family, score):
    """`L = log(1 + exp((m − α)/τ))`: one number summarises all negatives."""
    tau = family.temperature
    terms = info_nce_terms(family.queries, family.keys, score=score, temperature=tau)
    positive, negatives = own(family.logits(score))
    m = effective_margin(terms, tau)
    scale = 1e-12 * (1 + family.logits(score).abs().max().item())
    assert ((m / tau - negatives.logsumexp(1)).abs() <= rounding(positive, negatives)).all()
    exact = torch.logaddexp(negatives.logsumexp(1) - positive, torch.zeros_like(positive))
    torch.testing.assert_close(exact, terms.per_query(), rtol=1e-8, atol=scale)


@given(st.floats(-3, 3), st.floats(-3, 3), temperatures)
def test_t4_the_hinge_misses_between_ln_2_exp_minus_x_and_exp_minus_x(alpha, m, tau):
    """`0 ≤ ln 2 · e^{−x} ≤ L − hinge ≤ min(ln 2, e^{−x})`, `x = |m − α|/τ`; ends meet at x = 0."""
    margin, positive = (torch.tensor([x], dtype=torch.float64) for x in (m, alpha))
    loss = torch.logaddexp((margin - positive) / tau, torch.zeros_like(margin))
    missed, x = (loss - hinge(margin, positive, tau)).item(), abs(m - alpha) / tau
    slack = 1e-15 * (1 + loss.item()) * 8
    assert math.log(2) * math.exp(-x) - slack <= missed <= min(math.log(2), math.exp(-x)) + slack
    assert hinge_error(margin, positive, tau).item() == pytest.approx(missed, abs=slack)


def test_t4_as_negatives_double_the_hinges_error_is_the_predicted_one():
    loss, hinges, missed, predicted = hinge_against_negatives(most=2**12).lines
    assert missed.y == pytest.approx(predicted.y, abs=1e-9)
    assert [a - b for a, b in zip(loss.y, hinges.y, strict=True)] == pytest.approx(missed.y)
    assert max(missed.y) <= math.log(2)
    assert hinges.y[0] == 0 < hinges.y[-1]


def test_t4_random_directions_demand_nearly_the_planned_margin():
    """The mean of exp(cos/τ) over directions is ₀F₁(d/2; 1/4τ²), so that m → τ ln K + τ ln ₀F₁ ≈ τ ln K + 1/(2dτ)."""
    tau, dim = 0.5, 64
    alike, random, planned, easy = margin_against_negatives(most=2**14, temperature=tau, dim=dim).lines
    assert alike.y == pytest.approx(planned.y, abs=1e-6)
    series, term = 1.0, 1.0
    for k in range(1, 40):
        term *= 1 / (4 * tau**2) / (k * (dim / 2 + k - 1))
        series += term
    excess = random.y[-1] - easy.y[-1]
    assert excess == pytest.approx(tau * math.log(series), abs=4 * random.error[-1] + tau / 2**14)
