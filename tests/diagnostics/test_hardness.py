"""How many negatives push, against the entropy of a plain softmax over them; the margin, likewise."""

import math

import pytest
import torch

from tellapart import dense, info_nce_terms, other_views, paired, same
from tellapart.diagnostics import (
    effective_margin,
    effective_negatives,
    hardest_share,
    hinge,
    hinge_error,
    planned_margin,
    shares,
)
from tests.engines import ENGINES, playing

N, M, D = 6, 7, 3
ONE_EACH = {
    "plain": {},
    "dot": {"score": "dot", "temperature": 0.7},
    "sqeuclidean": {"score": "sqeuclidean", "temperature": 0.5, "key_bias": torch.linspace(-1, 1, M)},
    "queue": {"negatives": torch.linspace(-1, 2, 12).double().view(4, D).sin()},
    "mined": {"negatives": torch.linspace(-1, 9, 72).double().view(N, 4, D).sin(), "temperature": 0.3},
    "each its own": {"temperature": torch.linspace(0.1, 2, N).double(), "key_bias": torch.linspace(-1, 1, M)},
    "excluded": {"exclude": same(range(N), [1, *range(1, M)]) & ~paired()},
    "decoupled": {"exclude": paired()},
}
SEVERAL = {"several": {"positives": same([0, 0, 1, 2, 2, 9], [0, 0, 1, 1, 2, 3, 5]), "exclude": dense(torch.eye(N, M))}}


def embeddings():
    torch.manual_seed(5)
    return torch.randn(N, D, dtype=torch.float64), torch.randn(M, D, dtype=torch.float64)


def negative_shares(queries, keys, options):
    """The negatives' shares among themselves, (n, candidates)."""
    positives = options.get("positives", paired())
    related = positives.tile(slice(0, N), slice(0, M))
    p = shares(queries, keys, **options)
    p[:, :M] = p[:, :M].masked_fill(related, 0)
    return p / p.sum(1, keepdim=True)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [*ONE_EACH, *SEVERAL])
def test_effective_negatives_are_exp_of_the_entropy_of_the_negatives_shares(kind, engine):
    queries, keys = embeddings()
    options = (ONE_EACH | SEVERAL)[kind]
    p = negative_shares(queries, keys, options)
    with playing(engine) as name:
        found = effective_negatives(queries, keys, engine=name, **options)
    torch.testing.assert_close(found, torch.special.entr(p).sum(1).exp())


def test_effective_negatives_of_a_batch_against_itself():
    x = torch.randn(8, 3, dtype=torch.float64)
    logits = (torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(x).T) / 0.2
    for i in range(8):
        logits[i, [i, (i + 4) % 8]] = -torch.inf
    expected = torch.special.entr(logits.softmax(1)).sum(1).exp()
    for engine in ENGINES:
        with playing(engine) as name:
            options = {"positives": other_views(4), "exclude": paired(), "temperature": 0.2, "engine": name}
            torch.testing.assert_close(effective_negatives(x, x, **options), expected)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3])
@pytest.mark.parametrize("score", ["dot", "sqeuclidean"])
def test_in_float32_the_entropy_is_off_by_ulps_of_the_largest_logit(scale, score):
    torch.manual_seed(0)
    queries, keys = torch.randn(64, 16) * scale**0.5, torch.randn(64, 16) * scale**0.5
    options = {"score": score, "temperature": 1.0}
    exact = effective_negatives(queries.double(), keys.double(), **options).log()
    largest = 2 * max(queries.norm(dim=1).max(), keys.norm(dim=1).max()) ** 2
    for engine in ("dense", "tiled"):
        found = effective_negatives(queries, keys, engine=engine, **options).log()
        assert (found - exact).abs().max() <= 16 * torch.finfo(torch.float32).eps * max(1.0, largest.item())


def test_a_query_without_negatives_is_refused():
    with pytest.raises(ValueError, match="leave every query a candidate"):
        effective_negatives(torch.eye(3), torch.eye(3), positives=same([0, 0, 0]))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ONE_EACH)
def test_the_hardest_share_and_the_margin_are_those_of_the_negatives_alone(kind, engine):
    queries, keys = embeddings()
    options = ONE_EACH[kind]
    tau = options.get("temperature", 0.07)
    with playing(engine) as name:
        terms = info_nce_terms(queries, keys, engine=name, **options)
    torch.testing.assert_close(hardest_share(terms), negative_shares(queries, keys, options).amax(1))
    alpha, m = tau * terms.positive, effective_margin(terms, tau)
    if kind == "decoupled":
        torch.testing.assert_close((m - alpha) / tau, terms.per_query())
        return
    torch.testing.assert_close(torch.nn.functional.softplus((m - alpha) / tau), terms.per_query())
    torch.testing.assert_close(hinge(m, alpha, tau) + hinge_error(m, alpha, tau), terms.per_query())


def test_margin_and_hardest_share_count_a_lowered_positive_as_it_is():
    queries, keys = embeddings()
    plain, lowered = (info_nce_terms(queries, keys, margin=margin) for margin in (0.0, 0.2))
    torch.testing.assert_close(effective_margin(plain, 0.07), effective_margin(lowered, 0.07))
    torch.testing.assert_close(hardest_share(plain), hardest_share(lowered))


def test_several_positives_have_no_margin_of_this_kind():
    terms = info_nce_terms(torch.eye(4), torch.eye(4), positives=same([0, 0, 1, 2]))
    assert hardest_share(terms).isnan().tolist() == [True, True, False, False]
    assert effective_margin(terms, 0.07).isnan().tolist() == [True, True, False, False]


@pytest.mark.parametrize("engine", ["dense", "tiled"])
def test_a_loss_that_rounds_to_zero_leaves_a_margin_between_its_bounds(engine):
    terms = info_nce_terms(torch.eye(8), torch.eye(8), temperature=0.001, engine=engine)
    assert (terms.per_query() == 0).all()
    m = effective_margin(terms, 0.001)
    assert ((m >= 0) & (m <= 0.001 * math.log(7) + 1e-9)).all()
    assert ((hardest_share(terms) >= 1 / 7 - 1e-6) & (hardest_share(terms) <= 1)).all()


def test_readings_carry_no_gradient():
    x = torch.randn(4, 3, requires_grad=True)
    terms = info_nce_terms(x, x)
    assert terms.loss().requires_grad
    for reading in (hardest_share(terms), effective_margin(terms, 0.07), effective_negatives(x, x)):
        assert not reading.requires_grad


@pytest.mark.parametrize(("bad", "message"), [((0, 0.1), "`n_negatives` must be"), ((3, 0.0), "`temperature` must be")])
def test_a_plan_without_negatives_or_temperature_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        planned_margin(*bad)


@pytest.mark.parametrize("engine", ["dense", "auto", "tiled"])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("tau", [0.03, 0.02])
def test_confident_queries_tell_their_negatives_though_their_losses_round_to_zero(engine, symmetric, tau):
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(256, 128, generator=generator)
    keys = queries + 0.3 * torch.randn(256, 128, generator=generator)
    unit = torch.nn.functional.normalize
    logits = (unit(queries.double()) @ unit(keys.double()).T / tau).fill_diagonal_(-torch.inf)
    found = info_nce_terms(queries, keys, temperature=tau, engine=engine, symmetric=symmetric)
    for side, exact in ((found, logits), (found.reverse, logits.T)):
        if side is not None:
            share = (exact.amax(dim=1) - exact.logsumexp(dim=1)).exp()
            # What a streamed loss leaves of the digits is a matter of ε exp(S⁺ − log Z⁻).
            torch.testing.assert_close(hardest_share(side).double(), share, rtol=1e-3, atol=1e-4)
