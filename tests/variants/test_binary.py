"""The binary relatives: sigmoid, SGNS and NCE, and where their optimum lies."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, normalize

from tellapart import dense, info_nce, listed, paired, same
from tellapart.variants import nce, sgns, sigmoid
from tests import oracle
from tests import oracle_variants as papers
from tests.engines import playing
from tests.harness import SCORES
from tests.variants.problems import assert_agree, problems

EYE = torch.eye(3)
# They are streamed always: in one tile, or in many.
TILES = ("dense", "tiled, keeping none")


@given(problems(biased=False, drawn=False), st.floats(-12, 3), st.booleans())
def test_sigmoid_agrees_with_zhai(problem, bias, many):
    tables = oracle.logits(
        *(problem.queries, problem.keys, problem.weights),
        **(problem.options | {"key_bias": [bias] * len(problem.keys)}),
    )
    given_ = {k: v for k, v in problem.arguments().items() if k not in ("key_bias", "negatives")}
    given_ |= {"bias": bias, "exclude": problem.exclude()}
    tensors = torch.tensor(problem.queries), torch.tensor(problem.keys)
    if many:
        with playing("tiled"):
            got = [sigmoid(*tensors, reduction=how, **given_) for how in ("none", "mean")]
    else:
        got = [sigmoid(*tensors, reduction=how, **given_) for how in ("none", "mean")]
    expected = papers.sigmoid(tables, problem.weights, problem.excluded)
    assert_agree(got, expected, problem.largest + abs(bias))


@pytest.mark.parametrize("kind", [lambda index: listed(index), lambda index: dense(index[:, None] == torch.arange(5))])
def test_sigmoid_is_the_binary_cross_entropy_of_every_pair(kind):
    q, k = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 5))
    temperature, bias = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.2, -3.0))
    inputs, index = (q, k, temperature, bias), torch.tensor([4, 0, 2, 0])
    logits = normalize(q) @ normalize(k).T / temperature + bias
    target = torch.nn.functional.one_hot(index, 5).double()
    expected = binary_cross_entropy_with_logits(logits, target, reduction="sum") / 4
    with playing("tiled"):
        got = sigmoid(q, k, bias=bias, temperature=temperature, positives=kind(index))
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got, inputs), torch.autograd.grad(expected, inputs))


def test_a_query_without_a_positive_is_judged_on_its_negatives_alone():
    losses = sigmoid(EYE, EYE, positives=same([1, 9, 9], [1, 2, 3]), bias=0.0, temperature=1.0, reduction="none")
    torch.testing.assert_close(losses[1], -(logsigmoid(-torch.tensor([0.0, 1.0, 0.0])).sum()))
    torch.testing.assert_close(
        sgns(EYE, EYE, negatives=EYE, positives=same([1, 9, 9], [1, 2, 3]), reduction="none")[1],
        losses[1],
    )


def test_sigmoid_keeps_its_bias_in_float32_where_embeddings_are_of_lower_precision():
    """A bias of −9.87 is −9.875 in bfloat16."""
    for dtype in (torch.bfloat16, torch.float16):
        got = sigmoid(EYE.to(dtype), EYE.to(dtype), bias=torch.tensor(-9.87), temperature=1.0)
        torch.testing.assert_close(got, sigmoid(EYE, EYE, bias=-9.87, temperature=1.0))


@given(problems(biased=False), st.sampled_from(TILES))
def test_sgns_agrees_with_mikolov_equation_4(problem, tiles):
    options = problem.options | {"negatives": np.ones((2, problem.keys.shape[1]))}
    if problem.options["negatives"] is not None:
        options["negatives"] = problem.options["negatives"]
    problem = problem._replace(options=options, excluded=np.zeros_like(problem.excluded))
    given_ = {k: v for k, v in problem.arguments().items() if k != "key_bias"}
    tensors = torch.tensor(problem.queries), torch.tensor(problem.keys)
    with playing(tiles):
        got = [sgns(*tensors, reduction=how, **given_) for how in ("none", "mean")]
    assert_agree(got, papers.sgns(problem.table, problem.weights), problem.largest)


@given(
    *(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 6), st.integers(1, 5), st.floats(0.05, 10)),
    *(st.sampled_from(sorted(SCORES)), st.sampled_from(TILES)),
)
def test_nce_agrees_with_mnih_and_teh_equation_8(seed, n, d, k, tau, score, tiles):
    rng = np.random.default_rng(seed)
    q, keys, noise = (rng.normal(size=(size, d)) for size in (n, n, k))
    log_noise = np.log(rng.dirichlet(np.ones(n + k)))
    table = oracle.logits(q, keys, np.eye(n), temperature=tau, score=score, negatives=noise)
    arguments = [torch.tensor(x) for x in (q, keys)]
    options = {"negatives": torch.tensor(noise), "log_noise": torch.tensor(log_noise)}
    with playing(tiles):
        got = [nce(*arguments, temperature=tau, score=score, reduction=how, **options) for how in ("none", "mean")]
    assert_agree(got, papers.nce(table, log_noise), np.abs(table).max() + np.abs(log_noise).max())


JOINT = np.array([[0.20, 0.05, 0.10], [0.02, 0.25, 0.08], [0.10, 0.10, 0.10]])
CENTRE, CONTEXT = JOINT.sum(1), JOINT.sum(0)
NOISE = np.array([0.5, 0.2, 0.3])
PMI = np.log(JOINT / np.outer(CENTRE, CONTEXT))
K = 2
# Every pair that can be observed, and all draws of K noise words.
PAIRS = list(itertools.product(range(3), range(3)))
DRAWS = list(itertools.product(range(3), repeat=K))


def expected_gradient(loss, scores, noise):
    """The gradient by the scores of the exact expectation of a loss, over every observation and every draw.

    With contexts as unit vectors, a centre's vector holds its scores.
    """
    scores = torch.tensor(scores, requires_grad=True)
    total = torch.zeros((), dtype=torch.float64)
    centre, context = (torch.tensor(side) for side in zip(*PAIRS, strict=True))
    probability = torch.tensor([JOINT[pair] for pair in PAIRS])
    basis = torch.eye(3, dtype=torch.float64)
    for draw in DRAWS:
        losses = loss(scores[centre], basis[context], basis[list(draw)], context, torch.tensor(draw))
        total = total + math.prod(noise[c] for c in draw) * (probability * losses).sum()
    return torch.autograd.grad(total, scores)[0].numpy()


def sgns_loss(q, k, negatives, *_):
    return sgns(q, k, negatives=negatives, reduction="none")


def nce_loss(q, k, negatives, context, draw, noise):
    log_noise = torch.tensor(np.log(noise))[torch.cat([context, draw])]
    return nce(q, k, negatives=negatives, log_noise=log_noise, reduction="none")


def info_nce_loss(q, k, negatives, *_):
    # In-batch keys are no draws from the noise here: each query has its own key and the drawn.
    options = {"exclude": ~paired(), "negatives": negatives, "score": "dot", "temperature": 1.0}
    return info_nce(q, k, reduction="none", **options)


def test_the_optimum_of_sgns_is_pmi_less_log_k():
    """Levy & Goldberg 2014, eq. 6; convex in the scores, so that no gradient means the optimum."""
    assert np.abs(expected_gradient(sgns_loss, PMI - math.log(K), CONTEXT)).max() < 1e-15
    for elsewhere in (PMI, PMI - math.log(K) + np.array([[0.1], [0.0], [-0.1]])):
        assert np.abs(expected_gradient(sgns_loss, elsewhere, CONTEXT)).max() > 1e-3


def test_the_optimum_of_nce_is_the_log_probability_itself():
    """Mnih & Teh 2012: whatever the noise, the score normalises itself."""
    log_p = np.log(JOINT / CENTRE[:, None])
    for noise in (NOISE, CONTEXT):
        loss = partial(nce_loss, noise=noise)
        assert np.abs(expected_gradient(loss, log_p, noise)).max() < 1e-15
        assert np.abs(expected_gradient(loss, log_p + 0.1, noise)).max() > 1e-3


def test_the_optimum_of_info_nce_is_the_log_density_ratio_up_to_a_constant_per_query():
    for constant in (0.0, -math.log(K), np.array([[1.0], [0.0], [-2.0]])):
        assert np.abs(expected_gradient(info_nce_loss, PMI + constant, CONTEXT)).max() < 1e-15
        ratio = np.log(JOINT / np.outer(CENTRE, NOISE))
        assert np.abs(expected_gradient(info_nce_loss, ratio + constant, NOISE)).max() < 1e-15
    assert np.abs(expected_gradient(info_nce_loss, PMI, NOISE)).max() > 1e-3


@pytest.mark.parametrize(
    ("variant", "arguments", "message"),
    [
        (nce, {"negatives": torch.ones(3, 2, 3)}, r"`negatives` must be shared .*\(k, d\). Got shape \(3, 2, 3\)"),
        (nce, {"negatives": EYE[:0]}, r"`negatives` must not be empty. Got shape \(0, 3\)"),
        (nce, {"log_noise": torch.zeros(3)}, r"`log_noise` must have one entry .*, \(6,\). Got shape \(3,\)"),
        (nce, {"log_noise": torch.zeros(6).log()}, "`log_noise` must be finite. Got -inf"),
        (nce, {"temperature": 0.0}, "`temperature` must be positive and finite. Got 0.0"),
        (sgns, {"negatives": torch.ones(2, 4, 3)}, "`negatives` must hold one set for each of the 3 queries. Got 2"),
        (sgns, {"negatives": torch.ones(2, 4)}, "`negatives` must have 3 columns"),
        (sgns, {"keys": EYE[:2]}, "`keys` must hold a positive for each of the 3 queries. Got 2 rows"),
        (sgns, {"reduction": "avg"}, "`reduction` must be one of 'mean', 'sum', 'none'. Got 'avg'"),
        (sigmoid, {"bias": torch.zeros(2)}, r"`bias` must be a number or a 0-d tensor. Got shape \(2,\)"),
        (sigmoid, {"bias": math.nan}, "must be finite. Got nan"),
        (sigmoid, {"temperature": -1.0}, "`temperature` must be positive and finite. Got -1.0"),
        (sigmoid, {"exclude": dense(torch.ones(2, 2))}, "`exclude` must relate as many queries"),
        (sigmoid, {"score": "euclid"}, "`score` must be one of"),
    ],
)
def test_a_wrong_argument_is_named_with_requirement_and_value(variant, arguments, message):
    with pytest.raises(ValueError, match=message):
        variant(**(_needed(variant) | arguments))


@pytest.mark.parametrize(
    ("variant", "arguments", "message"),
    [
        (sigmoid, {"queries": [[1.0]]}, "`queries` must be a floating-point tensor. Got list"),
        (sigmoid, {"positives": EYE}, "`positives` must be a relation"),
        (sgns, {"queries": EYE.long()}, "`queries` must be a floating-point tensor. Got torch.int64"),
        (nce, {"log_noise": [0.0] * 6}, "`log_noise` must be a tensor. Got list"),
        (nce, {"negatives": [[1.0]]}, "`negatives` must be a floating-point tensor. Got list"),
    ],
)
def test_a_wrong_type_is_named(variant, arguments, message):
    with pytest.raises(TypeError, match=message):
        variant(**(_needed(variant) | arguments))


def _needed(variant):
    needed = {"queries": EYE, "keys": EYE}
    if variant is not sigmoid:
        needed["negatives"] = EYE
    return needed | ({"log_noise": torch.zeros(6)} if variant is nce else {})
