"""T8: log(K + 1) − L is a lower bound of the information, never above log(K + 1), and the tighter the larger K is."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart import info_nce_terms, paired
from tellapart.diagnostics import mi_bound, mi_ceiling
from tellapart.theory import Gaussians, optimum_at_least, random_table
from tellapart.theory.curves import information_against_line_up
from tests.theory.families import expected_loss, generators


def exact_bound(table, k, scores=None):
    """InfoNCE's bound with k negatives: `log(K + 1) − L`, L over every possible batch."""
    return math.log(k + 1) - expected_loss(table, table.log_ratios if scores is None else scores, k, 1.0).item()


@settings(max_examples=40)
@given(st.integers(1, 4), st.integers(2, 4), generators, st.floats(0.1, 4), st.floats(0, 3))
def test_t8_any_critic_stays_below_the_information_and_below_the_ceiling(n, m, generator, spread, noise):
    """`log(K + 1) − L ≤ min(I, log(K + 1))`, without sampling error: the mean over all batches of a small table."""
    table = random_table(n, m, generator, spread)
    wrong = table.log_ratios + noise * torch.randn(n, m, generator=generator, dtype=torch.float64)
    for k, scores in itertools.product((1, 2, 3), (None, wrong)):
        assert exact_bound(table, k, scores) <= min(table.information, math.log(k + 1)) + 1e-12


@settings(max_examples=40)
@given(st.integers(1, 4), st.integers(2, 4), generators, st.floats(0.1, 4))
def test_t8_the_best_critic_says_more_the_larger_the_line_up_and_at_least_what_its_pairs_guarantee(
    n, m, generator, spread
):
    """`E_p log((K + 1) r/(K + r)) ≤ log(K + 1) − L`, which grows with K."""
    table = random_table(n, m, generator, spread)
    said = [exact_bound(table, k) for k in (1, 2, 3)]
    assert said[0] <= said[1] + 1e-12 <= said[2] + 2e-12
    for k, value in zip((1, 2, 3), said, strict=True):
        assert value >= (table.joint * optimum_at_least(table.log_ratios, k)).sum().item() - 1e-12


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20), st.integers(1, 10**6))
def test_t8_what_is_missing_of_information_and_ceiling_is_as_said(log_ratios, k):
    """`log r − g = log(1 + (r − 1)/(K + 1))` and `log(K + 1) − g = log(1 + K/r)`, g being what one pair guarantees."""
    log_r = torch.tensor(log_ratios, dtype=torch.float64)
    least, r = optimum_at_least(log_r, k), log_r.exp()
    torch.testing.assert_close(log_r - least, torch.log1p((r - 1) / (k + 1)), atol=1e-11, rtol=1e-9)
    torch.testing.assert_close(math.log(k + 1) - least, torch.log1p(k / r), atol=1e-11, rtol=1e-9)


@given(st.floats(0, 3), st.integers(1, 40), st.integers(0, 2**31))
def test_t8_gaussians_of_a_wanted_information_have_it(nats_each, dim, seed):
    """`I = −(d/2) ln(1 − ρ²)`, the exact critic's logits are the log ratios, and their mean and variance I and dρ²."""
    nats = dim * nats_each
    problem = Gaussians.with_information(nats, dim)
    assert problem.information == pytest.approx(nats, rel=1e-9, abs=1e-9)
    x, y = problem.sample(200, torch.Generator().manual_seed(seed))
    covariance = torch.tensor([[1.0, problem.rho], [problem.rho, 1.0]], dtype=torch.float64)
    joint = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance)
    alone = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1)
    exact = joint.log_prob(torch.stack([x, y], dim=2)) - alone.log_prob(x) - alone.log_prob(y)
    close = {"rtol": 1e-8, "atol": 1e-8 * math.exp(2 * nats / dim)}
    torch.testing.assert_close(problem.log_ratio(x, y), exact.sum(1), **close)
    queries, keys, bias = problem.critic(x, y)
    terms = info_nce_terms(queries, keys, score="dot", temperature=1.0, key_bias=bias)
    torch.testing.assert_close(terms.positive, problem.log_ratio(x, y), **close)
    error = math.sqrt(dim * problem.rho**2 / 200)
    assert abs(problem.log_ratio(x, y).mean().item() - nats) <= 6 * error + 1e-9


@pytest.mark.parametrize("nats", [2.0, 4.0, 6.0, 8.0, 10.0])
def test_t8_with_the_exact_critic_the_estimate_lies_between_its_guarantee_and_truth_and_ceiling(nats):
    """20 dimensions, 64 to 1024 candidates; 3 standard errors over batches of fresh pairs."""
    curve = information_against_line_up(nats, sizes=(64, 256, 1024), pairs=2**13)
    lines = {line.label: line for line in curve.lines}
    said, ceiling, least = (lines[label] for label in ("InfoNCE", "ceiling", "InfoNCE at least"))
    for value, error, top, floor in zip(said.y, said.error, ceiling.y, least.y, strict=True):
        assert value <= min(nats + 3 * error, top)
        assert value >= floor - 3 * error
    assert said.y == sorted(said.y)


@pytest.mark.parametrize(("nats", "size"), [(2.0, 1024), (4.0, 4096)])
def test_t8_where_ratios_are_well_below_the_line_ups_size_the_truth_is_met_within_five_percent(nats, size):
    """Guaranteed, since `E_p log(1 + (r − 1)/(K + 1)) ≤ I/20` there."""
    said, *_, least = information_against_line_up(nats, sizes=(size,), pairs=2**14, at_least=4).lines
    assert least.y[0] >= 0.95 * nats
    assert said.y[0] >= 0.95 * nats - 3 * said.error[0]


def test_t8_two_nats_of_room_below_the_ceiling_are_not_enough_for_five_percent():
    """A rule that is often told: 2 nats are 2.2 below log 64, and yet the best of critics says 8 % less."""
    said = information_against_line_up(2.0, sizes=(64,), pairs=2**14).lines[0]
    assert math.log(64) - 2 > 2
    assert said.y[0] + 3 * said.error[0] < 0.95 * 2


def test_t8_far_more_information_than_the_ceiling_is_a_plateau_there():
    """Within `E_p log(1 + K/r)` of it: 2 % for 64 candidates and 10 nats; but 8 nats are not yet enough."""
    above, ten = information_against_line_up(10.0, sizes=(64,), pairs=2**14).lines[0], math.log(64)
    assert 0.98 * ten <= above.y[0] <= ten
    eight = information_against_line_up(8.0, sizes=(64,), pairs=2**14).lines[0]
    assert eight.y[0] + 3 * eight.error[0] < 0.98 * ten


def test_t8_nwj_and_the_interpolated_bound_have_no_such_ceiling_and_smile_is_no_bound():
    """6 nats with 256 candidates: all but InfoNCE get past log 256, and SMILE past the truth."""
    lines = {line.label: line for line in information_against_line_up(6.0, sizes=(256,), pairs=2**14).lines}
    ceiling = math.log(256)
    assert lines["InfoNCE"].y[0] < ceiling - 0.5
    for label in ("NWJ", "I_α, α = 0.01"):
        assert ceiling < lines[label].y[0] - 3 * lines[label].error[0]
        assert lines[label].y[0] <= 6 + 3 * lines[label].error[0]
    assert lines["SMILE"].y[0] - 3 * lines["SMILE"].error[0] > 6
    assert lines["InfoNCE"].error[0] < lines["I_α, α = 0.01"].error[0] < lines["NWJ"].error[0]


def test_t8_the_reading_of_one_line_up_never_exceeds_its_ceiling():
    for tau in (1e-3, 0.1, 10):
        x, y = torch.randn(40, 5), torch.randn(40, 5)
        for options in ({}, {"symmetric": True}, {"negatives": torch.randn(9, 5)}, {"exclude": ~paired() & paired()}):
            terms = info_nce_terms(x, y, temperature=tau, **options)
            assert mi_bound(terms) <= mi_ceiling(terms)
