"""Variants of the line-up: DCL, InfoLOOB, debiased, hard negatives, logQ, robust."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tellapart import dense, info_nce, other_views, paired, same
from tellapart.variants import dcl, dclw, debiased, hard_negatives, info_loob, log_q, robust
from tests import oracle
from tests import oracle_variants as papers
from tests.engines import ENGINES, playing
from tests.variants.problems import assert_agree, problems

EYE = torch.eye(3)
PRIORS = st.sampled_from((0.0, 0.01, 0.1, 0.5, 0.9))


def assert_agrees_in_its_directions(got, loss, problem, symmetric, scale=1.0):
    """Against the oracle's losses of the queries and, if symmetric, of the keys; the mean is that of both."""
    each, mean = got
    n = len(problem.queries)
    own = loss(problem.table, problem.weights, problem.excluded)
    if symmetric:
        keys_table = papers.turned(problem.table, len(problem.keys))
        other = loss(keys_table, problem.weights.T, problem.excluded.T)
        assert_agree((each[n:], 2 * mean - oracle.mean(own)), other, problem.largest, scale=4 * scale)
        each, mean = each[:n], 2 * mean - oracle.mean(other)
    assert_agree((each, mean), own, problem.largest, scale=4 * scale)


@given(problems(), st.booleans(), st.sampled_from(ENGINES))
def test_dcl_agrees_with_yeh_one_way_and_symmetric(problem, symmetric, engine):
    symmetric &= len(problem.queries) > 1
    got = problem.call(dcl, engine, exclude=problem.exclude(), symmetric=symmetric)
    assert_agrees_in_its_directions(got, papers.dcl, problem, symmetric)


@given(problems(), st.sampled_from(ENGINES))
def test_info_loob_agrees_with_fuerst_both_ways(problem, engine):
    assume(len(problem.queries) > 1)
    got = problem.call(info_loob, engine, exclude=problem.exclude())
    assert_agrees_in_its_directions(got, papers.dcl, problem, symmetric=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_dcl_of_two_views_is_yeh_over_all_others(engine):
    views, n = torch.randn(8, 3, dtype=torch.float64), 4
    s = torch.nn.functional.normalize(views) @ torch.nn.functional.normalize(views).T / 0.2
    related = torch.eye(n, dtype=torch.bool).repeat(2, 2)
    expected = (s.masked_fill(related, -torch.inf).logsumexp(1) - s[torch.arange(8), torch.arange(8).roll(n)]).mean()
    with playing(engine) as name:
        got = dcl(views, views, positives=other_views(n), exclude=paired(), temperature=0.2, engine=name)
    torch.testing.assert_close(got, expected)


def test_info_nce_is_the_softplus_of_dcl():
    """`log(Z⁺ + Z⁻) − S⁺ = log(1 + exp(log Z⁻ − S⁺))`."""
    q, k = torch.randn(2, 5, 3, dtype=torch.float64)
    softplus = torch.nn.functional.softplus(dcl(q, k, reduction="none"))
    torch.testing.assert_close(info_nce(q, k, reduction="none"), softplus)


@given(problems(biased=False), st.floats(0.2, 5), st.sampled_from(ENGINES))
def test_dclw_agrees_with_yeh(problem, sigma, engine):
    expected = papers.dclw(problem.table, problem.weights, problem.excluded, problem.tau, sigma)
    got = problem.call(dclw, engine, exclude=problem.exclude(), sigma=sigma)
    # A weight is an exponential of up to largest·τ/σ.
    scale = (1 + problem.largest * problem.tau.max() / sigma) * len(expected)
    assert_agree(got, expected, problem.largest, scale=scale)


def test_the_weights_of_dclw_have_mean_1_and_grow_with_distance():
    """They are read off: `w_i = (log Z⁻_i − L_i) / S⁺_i`. A query without a positive has none."""
    q, k = torch.randn(2, 6, 3, dtype=torch.float64)
    positives = same([0, 1, 2, 3, 4, 99], [0, 1, 2, 3, 4, 5])
    own = torch.cosine_similarity(q, k)[:5]
    log_z = dcl(q, k, positives=positives, temperature=0.5, reduction="none")[:5] + own / 0.5
    weights = (log_z - dclw(q, k, positives=positives, temperature=0.5, reduction="none")[:5]) / (own / 0.5)
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0, dtype=torch.float64))
    assert (weights[own.argsort()].diff() < 0).all()


def test_dclw_with_a_wide_sigma_is_dcl():
    q, k = torch.randn(2, 6, 3, dtype=torch.float64)
    torch.testing.assert_close(dclw(q, k, sigma=1e9), dcl(q, k), rtol=1e-7, atol=1e-7)


@given(
    problems(score=("cosine",), biased=False, smallest_tau=0.1),
    *(st.sampled_from((0.0, 0.5, 1.0, 3.0)), PRIORS, st.sampled_from(ENGINES)),
)
def test_hard_negatives_agree_with_robinson_equation_4(problem, beta, prior, engine):
    args = problem.table, problem.weights, problem.excluded, problem.tau
    problem.options.pop("score")
    problem.options.pop("key_bias")
    got = problem.call(hard_negatives, engine, exclude=problem.exclude(), beta=beta, prior=prior)
    expected = papers.hard_negatives(*args, beta, prior)
    # What is taken out of the mean cancels, to the rounding of exp S⁺ and times 1 / (1 − τ⁺).
    assert_agree(got, expected, 20, scale=(1 + beta) * 20 / (1 - prior))


@given(problems(score=("cosine",), biased=False, smallest_tau=0.1), PRIORS, st.sampled_from(ENGINES))
def test_debiased_agrees_with_chuang_equations_7_and_8(problem, prior, engine):
    args = problem.table, problem.weights, problem.excluded, problem.tau
    problem.options.pop("score")
    problem.options.pop("key_bias")
    got = problem.call(debiased, engine, exclude=problem.exclude(), prior=prior)
    assert_agree(got, papers.hard_negatives(*args, 0.0, prior), 20, scale=20 / (1 - prior))


@pytest.mark.parametrize("negatives", [None, (4, 3), (6, 4, 3)])
@pytest.mark.parametrize("engine", ENGINES)
def test_debiased_without_a_prior_and_hard_negatives_without_beta_are_info_nce(negatives, engine):
    q, k = torch.randn(2, 6, 3, dtype=torch.float64)
    negatives = None if negatives is None else torch.randn(negatives, dtype=torch.float64)
    expected = info_nce(q, k, negatives=negatives, temperature=0.5)
    with playing(engine) as name:
        options = {"negatives": negatives, "engine": name}
        torch.testing.assert_close(debiased(q, k, prior=0.0, **options), expected)
        torch.testing.assert_close(hard_negatives(q, k, beta=0.0, prior=0.0, **options), expected)
        by_beta = hard_negatives(q, k, beta=0.0, prior=0.2, **options)
        torch.testing.assert_close(by_beta, debiased(q, k, prior=0.2, **options), rtol=0, atol=0)


def pulls(scores, **options):
    """`∂L_i/∂s_ij` by each query's own negatives, whose cosines with it are exactly `scores`, one leaf."""
    scores = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64).repeat(len(scores), 1)
    key = torch.tensor([[0.8, 0.6]], dtype=torch.float64).repeat(len(scores), 1)
    negatives = torch.stack([scores, (1 - scores.square()).sqrt()], dim=2)
    everyone_else = same(range(len(scores))) | ~paired()
    losses = hard_negatives(query, key, negatives=negatives, exclude=everyone_else, reduction="none", **options)
    return losses, torch.autograd.grad(losses[0], scores)[0]


NEGATIVE_SCORES = [[-0.9, -0.3, 0.1, 0.6, 0.9], [0.9, 0.9, 0.9, 0.8, 0.7]]


@pytest.mark.parametrize("prior", [0.0, 0.1])
def test_no_debiased_negative_is_pulled_and_none_of_another_query_felt(prior):
    """Peers' failure 13: wrong axis, wrong sign, negatives counted over the whole mask."""
    losses, gradient = pulls(NEGATIVE_SCORES, beta=0.0, prior=prior)
    assert (gradient[0] > 0).all()
    assert (gradient[1] == 0).all()
    alone, _ = pulls(NEGATIVE_SCORES[:1], beta=0.0, prior=prior)
    torch.testing.assert_close(alone[0], losses[0])


def test_the_harder_negatives_get_a_larger_share_the_larger_beta_is():
    found = []
    for beta in (0.0, 0.5, 1.0, 2.0):
        losses, gradient = pulls(NEGATIVE_SCORES, beta=beta, prior=0.1)
        assert (gradient[1] == 0).all()
        found.append((losses[0].item(), (gradient[0, -1] / gradient[0].sum()).item()))
    assert all(a < b for one, next_ in pairwise(found) for a, b in zip(one, next_, strict=True))
    # In the limit the hardest stands for all.
    hardest, _ = pulls([[0.9] * 5], beta=0.0, prior=0.1)
    torch.testing.assert_close(pulls(NEGATIVE_SCORES, beta=500.0, prior=0.1)[0][0], hardest[0])


def test_a_larger_prior_makes_the_loss_smaller_down_to_the_floor():
    """Where τ⁺ exp S⁺ exceeds the mean, g is exp(−1/τ), and no negative is pushed."""
    losses = [pulls(NEGATIVE_SCORES, beta=0.0, prior=prior)[0][0] for prior in (0.0, 0.1, 0.2, 0.9)]
    assert all(a > b for a, b in pairwise(losses))
    torch.testing.assert_close(losses[-1].item(), math.log1p(5 * math.exp(-1 / 0.5) / math.exp(0.8 / 0.5)))
    assert (pulls(NEGATIVE_SCORES, beta=0.0, prior=0.9)[1] == 0).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_query_without_positive_and_candidates_gives_no_gradient_and_no_nan(engine):
    for variant in (dcl, dclw, debiased, hard_negatives, robust):
        q, k = (torch.randn(3, 2, requires_grad=True) for _ in range(2))
        diagonal, row = torch.eye(3) > 0, torch.tensor([[False], [True], [False]])
        with playing(engine) as name:
            options = {"positives": dense(diagonal & ~row), "exclude": dense(row.expand(3, 3)), "engine": name}
            loss = variant(q, k, temperature=0.5, **options)
        loss.backward()
        assert all(x.grad.isfinite().all() for x in (q, k))
        assert (q.grad[1] == 0).all()


@given(problems(), st.sampled_from(ENGINES))
def test_log_q_agrees_with_info_nce_of_logits_less_log_q(problem, engine):
    """Yi et al. 2019, eq. 3, with the losses of van den Oord et al. 2018, eq. 4."""
    shared = problem.options["negatives"] is not None and problem.options["negatives"].ndim == 2
    count = len(problem.keys) + (len(problem.options["negatives"]) if shared else 0)
    q = np.random.default_rng(count).dirichlet(np.ones(count))
    table = [
        [s - (math.log(q[j]) if j < count else 0.0) for j, s in enumerate(row)]
        for row in problem.table
    ]  # fmt: skip
    expected = oracle.losses(table, problem.weights, problem.excluded)
    got = problem.call(log_q, engine, exclude=problem.exclude(), log_probability=torch.tensor(q).log())
    assert_agree(got, expected, problem.largest + np.abs(np.log(q)).max())


def test_log_q_of_a_uniform_draw_is_info_nce():
    q, k, more = torch.randn(3, 6, 3, dtype=torch.float64)
    got = log_q(q, k, torch.full((12,), 1 / 12, dtype=torch.float64).log(), negatives=more, symmetric=True)
    torch.testing.assert_close(got, info_nce(q, k, negatives=more, symmetric=True))


def test_log_q_takes_back_how_often_a_candidate_is_drawn():
    """A negative drawn r times with log-probability log(r q) counts as once with log q."""
    q, k, rare, often = torch.randn(1, 3), torch.randn(1, 3), torch.randn(1, 3), torch.randn(1, 3)
    repeated = torch.cat([rare, often.expand(4, 3)])
    got = log_q(q, k, torch.tensor([1.0, 1, 4, 4, 4, 4]).log(), negatives=repeated)
    torch.testing.assert_close(got, info_nce(q, k, negatives=torch.cat([rare, often])))


@given(
    problems(score=("cosine",), biased=False, smallest_tau=0.1),
    *(st.sampled_from((0.01, 0.3, 0.5, 1.0)), st.floats(0.01, 0.9), st.booleans(), st.sampled_from(ENGINES)),
)
def test_robust_agrees_with_chuang(problem, q, density, symmetric, engine):
    symmetric &= len(problem.queries) > 1
    got = problem.call(robust, engine, exclude=problem.exclude(), q=q, density=density, symmetric=symmetric)
    log_z = problem.largest + math.log(sum(problem.weights.shape) + 3)
    loss = partial(papers.robust, q=q, density=density)
    assert_agrees_in_its_directions(got, loss, problem, symmetric, scale=math.exp(q * log_z) / q)


@pytest.mark.parametrize("q", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_robust_tends_to_info_nce_plus_log_lambda(q, dtype):
    """`(λZ)^q/q − e^{qS}/q = log λ + L + q/2 ((log λZ)² − S²) + O(q²)`, in float32 too: no digits cancel."""
    x, y = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    loss = info_nce(x, y, temperature=0.5, reduction="none")
    positive = torch.cosine_similarity(x, y) / 0.5
    log_share = loss + positive + math.log(0.1)
    limit = loss + math.log(0.1) + q / 2 * (log_share**2 - positive**2)
    got = robust(x, y, q=q, density=0.1, temperature=0.5, reduction="none")
    remainder = (
        q**2 / 6 * (log_share.abs() ** 3 * torch.exp(q * log_share.abs()) + positive.abs() ** 3 * math.exp(2 * q))
    )
    assert ((got - limit).abs() <= remainder + 50 * torch.finfo(dtype).eps).all()


def test_robust_with_q_1_bears_symmetric_noise():
    """Chuang et al. 2022: with q = 1 and λ = 1/2 the losses of a pair being true and being false differ by a sign.

    `L = −e^{s⁺} + λ Σ_j e^{s_j}`: summed over every candidate taken as the positive in turn, scores with the same
    Z always give `(mλ − 1) Z`, so that labels drawn uniformly tell nothing but Z.
    """
    scores = torch.randn(4, dtype=torch.float64)
    query, keys = torch.ones(1, 1, dtype=torch.float64), scores[:, None]
    total = sum(
        robust(query, keys.roll(i, 0), q=1.0, density=0.5, score="dot", temperature=1.0) for i in range(4)
    )  # fmt: skip
    torch.testing.assert_close(total, (4 * 0.5 - 1) * scores.exp().sum())


@pytest.mark.parametrize(
    ("variant", "arguments", "message"),
    [
        (dcl, {"positives": same([1, 2, 1], [1, 1, 1])}, "leave every query a negative. Got none for query 0"),
        (info_loob, {"positives": same([1, 1, 1], [1, 2, 3])}, "leave every key a negative. Got none for key 0"),
        (dclw, {"positives": same([1, 1, 1])}, "must leave every query a negative. Got none for query 0"),
        (dclw, {"sigma": 0.0}, "`sigma` must be positive and finite. Got 0.0"),
        (dclw, {"sigma": math.inf}, "`sigma` must be positive and finite. Got inf"),
        (dclw, {"sigma": math.nan}, "`sigma` must be positive and finite. Got nan"),
        (hard_negatives, {"beta": -0.1}, "`beta` must be at least 0 and below inf. Got -0.1"),
        (hard_negatives, {"beta": math.inf}, "`beta` must be at least 0 and below inf. Got inf"),
        (hard_negatives, {"beta": math.nan}, "`beta` must be at least 0 and below inf. Got nan"),
        (hard_negatives, {"prior": 1.0}, "`prior` must be at least 0 and below 1. Got 1.0"),
        (hard_negatives, {"temperature": 0.0}, "`temperature` must be positive and finite. Got 0.0"),
        (hard_negatives, {"positives": same([1, 1, 1])}, "must leave every query a negative"),
        (debiased, {"prior": -0.1}, "`prior` must be at least 0 and below 1. Got -0.1"),
        (debiased, {"prior": math.nan}, "`prior` must be at least 0 and below 1. Got nan"),
        (debiased, {"reduction": "avg"}, "`reduction` must be one of 'mean', 'sum', 'none'. Got 'avg'"),
        (debiased, {"positives": same([1, 2, 3], [4, 5, 6])}, "must relate at least one query to a key"),
        (robust, {"q": 0.0}, r"`q` must lie in \(0, 1\]. Got 0.0"),
        (robust, {"q": 1.1}, r"`q` must lie in \(0, 1\]. Got 1.1"),
        (robust, {"q": math.nan}, r"`q` must lie in \(0, 1\]. Got nan"),
        (robust, {"density": 0.0}, r"`density` must lie in \(0, 1\). Got 0.0"),
        (robust, {"density": 1.0}, r"`density` must lie in \(0, 1\). Got 1.0"),
        (robust, {"engine": "fast"}, "`engine` must be one of 'auto', 'dense', 'tiled'. Got 'fast'"),
        (
            log_q,
            {"log_probability": torch.zeros(2)},
            r"`log_probability` must have one entry .*, \(3,\). Got shape \(2,\)",
        ),
        (
            log_q,
            {"log_probability": torch.zeros(3), "negatives": EYE},
            r"`log_probability` must have one entry .*, \(6,\). Got shape \(3,\)",
        ),
        (log_q, {"log_probability": torch.zeros(3).log()}, "`log_probability` must be finite. Got -inf"),
    ],
)
def test_a_wrong_argument_is_named_with_requirement_and_value(variant, arguments, message):
    with pytest.raises(ValueError, match=message):
        variant(EYE, EYE, **arguments)


@pytest.mark.parametrize("variant", [dcl, dclw, info_loob, hard_negatives, debiased, robust])
def test_variants_of_negatives_refuse_what_info_nce_refuses(variant):
    with pytest.raises(TypeError, match=r"`positives` must be a relation, such as .* Got Tensor"):
        variant(EYE, EYE, positives=EYE)
    with pytest.raises(TypeError, match=r"`exclude` must be a relation, such as .* Got Tensor"):
        variant(EYE, EYE, exclude=EYE > 0)
    with pytest.raises(ValueError, match=r"`keys` must hold a positive for each of the 3 queries. Got 2 rows"):
        variant(EYE, EYE[:2])
    with pytest.raises(ValueError, match=r"`temperature` must be positive and finite. Got -1"):
        variant(EYE, EYE, temperature=-1.0)


@pytest.mark.parametrize("variant", [dclw, info_loob, hard_negatives, debiased])
def test_a_direction_that_a_variant_does_not_have_is_refused_and_not_ignored(variant):
    with pytest.raises(TypeError, match=r"symmetric"):
        variant(EYE, EYE, symmetric=True)


def test_log_q_takes_a_tensor():
    with pytest.raises(TypeError, match=r"`log_probability` must be a tensor. Got list"):
        log_q(EYE, EYE, [0.0, 0.0, 0.0])
