"""The loss against the float64 oracle, over families of inputs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import tellapart
from tellapart import InfoNCE, LearnedTemperature, dense, info_nce, info_nce_terms, listed, paired, same
from tests import oracle
from tests.engines import ENGINES, playing
from tests.harness import SCORES


@st.composite
def problems(draw):
    """Random arguments of `info_nce` in float64, with the matrices the oracle wants."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    m = n + draw(st.integers(0, 4))
    q, k = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    kind = draw(st.sampled_from(("paired", "listed", "same", "dense", "weights")))
    if kind == "paired":
        relation, weights = None, np.eye(n, m)
    elif kind == "listed":
        index = rng.integers(0, m, n)
        relation, weights = listed(torch.tensor(index)), np.eye(m)[index]
    elif kind == "same":
        a, b = rng.integers(0, 4, n), rng.integers(0, 4, m)
        b[0] = a[0]
        relation, weights = same(torch.tensor(a), torch.tensor(b)), (a[:, None] == b).astype(float)
    else:
        weights = (rng.random((n, m)) < 0.4).astype(float)
        weights[0, 0] = 1
        if kind == "weights":
            weights *= rng.random((n, m)) + 0.1
        relation = dense(torch.tensor(weights) if kind == "weights" else torch.tensor(weights > 0))
    excluded = rng.random((n, m)) < draw(st.sampled_from((0.0, 0.3)))
    excluded &= weights == 0
    excluded[:, 0], excluded[0] = False, False
    negatives, shared = None, 0
    how = draw(st.sampled_from(("none", "shared", "mined")))
    if how != "none":
        shared = draw(st.integers(1, 4))
        negatives = rng.normal(size=(shared, d) if how == "shared" else (n, shared, d))
        shared = shared if how == "shared" else 0
    per_query = draw(st.booleans())
    tau = draw(st.floats(0.02, 20))
    options = {
        "temperature": tau * (rng.random(n) + 0.5) if per_query else tau,
        "score": draw(st.sampled_from(sorted(SCORES))),
        "margin": draw(st.sampled_from((0.0, 0.3))),
        "key_bias": rng.normal(size=m + shared) if draw(st.booleans()) else None,
        "negatives": negatives,
        "multi_positive": draw(st.sampled_from(("out", "in"))),
        "symmetric": draw(st.booleans()),
    }
    return q, k, relation, weights, excluded, options


def as_tensors(options, dtype=torch.float64):
    return {
        name: torch.tensor(value, dtype=dtype) if isinstance(value, np.ndarray) else value
        for name, value in options.items()
    }


@given(problems(), st.sampled_from(ENGINES))
def test_every_option_agrees_with_the_oracle(problem, engine):
    q, k, relation, weights, excluded, options = problem
    expected = oracle.info_nce(q, k, weights, excluded, **options)
    exclude = dense(torch.tensor(excluded)) if excluded.any() else None
    given_ = as_tensors(options) | {"positives": relation, "exclude": exclude}
    with playing(engine) as name:
        got = info_nce(torch.tensor(q), torch.tensor(k), engine=name, **given_)
    # Float64 rounding grows with the largest logit that cancels.
    table = oracle.logits(q, k, weights, **{n: options[n] for n in ("temperature", "score", "margin", "key_bias")})
    assert got.item() == pytest.approx(expected, rel=1e-11, abs=1e-13 * (1 + np.abs(table).max()))


@given(problems(), st.sampled_from(ENGINES))
def test_gradients_agree_with_finite_differences_in_float64(problem, engine):
    q, k, relation, _, excluded, options = problem
    given_ = as_tensors(options)
    tau = torch.as_tensor(given_.pop("temperature"), dtype=torch.float64)
    inputs = [torch.tensor(q), torch.tensor(k), tau.clamp(min=0.2)]
    inputs += [given_.pop(name) for name in ("negatives", "key_bias") if torch.is_tensor(given_[name])]
    for tensor in inputs:
        tensor.requires_grad_()
    names = [name for name in ("negatives", "key_bias") if name not in given_]

    def loss(queries: Tensor, keys: Tensor, temperature: Tensor, *more: Tensor) -> Tensor:
        extra = given_ | dict(zip(names, more, strict=True))
        exclude = dense(torch.tensor(excluded))
        with playing(engine) as name:
            extra["engine"] = name
            return info_nce(queries, keys, temperature=temperature, positives=relation, exclude=exclude, **extra)

    # A cosine of one-dimensional vectors is a step, and of nearly zero vectors nearly one: its difference
    # quotient says nothing there.
    if options["score"] != "cosine" or min(np.linalg.norm(q, axis=1).min(), np.linalg.norm(k, axis=1).min()) > 0.1:
        # Along a random direction, which has a share of every entry: one by one they take six times as long.
        assert torch.autograd.gradcheck(loss, inputs, atol=1e-6, rtol=1e-4, fast_mode=True)


@given(problems(), st.sampled_from((torch.float32, torch.bfloat16, torch.float16)), st.sampled_from(ENGINES))
def test_inputs_of_lower_precision_are_computed_with_the_error_of_float32(problem, dtype, engine):
    q, k, relation, weights, excluded, options = problem
    low = [torch.tensor(x).to(dtype) for x in (q, k)]
    exact = {name: np.asarray(v) if isinstance(v, np.ndarray) else v for name, v in options.items()}
    given_ = as_tensors(options, torch.float32)
    if options["negatives"] is not None:
        given_["negatives"] = torch.tensor(options["negatives"]).to(dtype)
        exact["negatives"] = given_["negatives"].double().numpy()
    for name in ("temperature", "key_bias"):
        if torch.is_tensor(given_[name]):
            exact[name] = given_[name].double().numpy()
    args = [x.double().numpy() for x in low]
    expected = oracle.info_nce(*args, weights, excluded, **exact)
    with playing(engine) as name:
        got = info_nce(*low, positives=relation, exclude=dense(torch.tensor(excluded)), engine=name, **given_)
    assert got.dtype == torch.float32
    table = oracle.logits(*args, weights, **{n: exact[n] for n in ("temperature", "score", "margin", "key_bias")})
    # A logit made of d products carries (d + 4) roundings at most; squared distances cancel terms of |q|²/τ.
    squares = max(np.square(a).sum(axis=1).max() for a in args) if options["score"] == "sqeuclidean" else 0
    scale = 1 + np.abs(table).max() + 8 * squares / np.min(exact["temperature"])
    if options["negatives"] is not None:
        far = np.square(exact["negatives"]).sum(axis=-1).max()
        scale += 8 * (far + 1) * max(1, *(np.square(a).sum(axis=1).max() for a in args)) / np.min(exact["temperature"])
    assert got.item() == pytest.approx(expected, abs=2 * 16 * np.finfo(np.float32).eps * scale)


def test_infonce_is_cross_entropy_over_the_line_up():
    q, k = torch.randn(5, 3, dtype=torch.float64), torch.randn(8, 3, dtype=torch.float64)
    logits = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(k).T / 0.3
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(5))
    torch.testing.assert_close(info_nce(q, k, temperature=0.3), expected)


def test_scale_times_its_gradient_is_the_sum_over_queries_of_query_times_gradient():
    """DESIGN: `scale·∂L/∂scale = Σ_i q_i·∂L/∂q_i` for the dot product, since both scale the logits."""
    q = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    k = torch.randn(6, 4, dtype=torch.float64)
    tau = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    info_nce(q, k, temperature=tau, score="dot").backward()
    # scale = 1/τ, so scale·∂L/∂scale = −τ·∂L/∂τ.
    torch.testing.assert_close(-tau * tau.grad, (q * q.grad).sum())


def test_queries_without_a_positive_are_left_out_of_the_mean_and_get_no_gradient():
    q, k = torch.randn(3, 4, requires_grad=True), torch.randn(4, 4)
    positives = same(["a", "nobody", "b"], ["a", "b", "b", "c"])
    terms = info_nce_terms(q, k, positives=positives)
    per_query = terms.per_query()
    assert terms.n_positives.tolist() == [1, 0, 2]
    assert per_query[1] == 0
    torch.testing.assert_close(terms.loss(), (per_query[0] + per_query[2]) / 2)
    terms.loss().backward()
    assert (q.grad[1] == 0).all()
    assert (q.grad[0] != 0).any()


def test_excluded_positives_give_the_decoupled_loss():
    """Yeh et al. 2022 (DCL), eq. 6: the positive leaves the denominator."""
    q, k = torch.randn(5, 3), torch.randn(5, 3)
    terms = info_nce_terms(q, k, exclude=paired(), temperature=0.5)
    s = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(k).T / 0.5
    others = s.masked_fill(torch.eye(5, dtype=torch.bool), float("-inf"))
    torch.testing.assert_close(terms.per_query(), others.logsumexp(1) - s.diagonal())
    assert terms.n_candidates.tolist() == [4] * 5


def test_reductions_of_a_symmetric_loss():
    q, k = torch.randn(4, 3), torch.randn(6, 3)
    none = info_nce(q, k, symmetric=True, reduction="none")
    assert none.shape == (10,)
    rows, cols = none[:4], none[4:]
    assert (cols[4:] == 0).all()
    torch.testing.assert_close(info_nce(q, k, symmetric=True), (rows.mean() + cols[:4].mean()) / 2)
    torch.testing.assert_close(info_nce(q, k, symmetric=True, reduction="sum"), none.sum() / 2)


def test_accuracy_of_a_collapsed_encoder_is_zero():
    """A tie is a miss: an encoder that maps everything to one point has told nothing apart."""
    same_point = torch.ones(8, 3)
    assert info_nce_terms(same_point, same_point, symmetric=True).accuracy() == 0
    assert info_nce_terms(torch.eye(8), torch.eye(8), symmetric=True).accuracy() == 1


def test_accuracy_counts_neither_the_excluded_nor_the_margin():
    """In NT-Xent each row is most like itself: were the excluded counted, accuracy would be 0."""
    views = torch.eye(4).repeat(2, 1) + 0.01 * torch.randn(8, 4)
    example = same(torch.arange(4).repeat(2))
    terms = info_nce_terms(views, views, positives=example & ~paired(), exclude=paired(), margin=0.9)
    assert terms.accuracy() == 1
    assert (terms.top_negative < 0.5 / 0.07).all()
    assert terms.n_candidates.tolist() == [7] * 8
    assert terms.n_positive_candidates.tolist() == [1] * 8
    assert info_nce_terms(views, views, exclude=paired()).n_positive_candidates.tolist() == [0] * 8


def test_module_equals_function_and_trains_its_temperature():
    q, k = torch.randn(6, 3), torch.randn(6, 3)
    module = InfoNCE(temperature=0.2, symmetric=True)
    torch.testing.assert_close(module(q, k), info_nce(q, k, temperature=0.2, symmetric=True))
    loss = InfoNCE(temperature=LearnedTemperature(0.2), score=tellapart.Bilinear(3, 3))
    loss(q, k).backward()
    assert {name for name, p in loss.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0} == {
        "temperature.log_temperature",
        "score.weight",
    }


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", [{"symmetric": True}, {"symmetric": False}, {"exclude": paired()}])
def test_double_backward_is_right(engine, options):
    q = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    k = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    with playing(engine) as name:
        assert torch.autograd.gradgradcheck(
            lambda a, b: info_nce(a, b, temperature=0.5, engine=name, **options), (q, k), fast_mode=True
        )
        assert torch.autograd.gradgradcheck(
            lambda a: info_nce(a, k.detach(), engine=name, **options), (q,), fast_mode=True
        )


@given(st.sampled_from(ENGINES), st.integers(0, 2**32 - 1), st.sampled_from(("out", "in")))
def test_excluded_negatives_are_as_negatives_of_each_query_that_lack_them(engine, seed, multi_positive):
    random = np.random.default_rng(seed)
    x, y, bank = (torch.tensor(random.normal(size=(n, 3))) for n in (5, 6, 4))
    ids, theirs = torch.tensor(random.integers(0, 3, 5)), torch.tensor(random.integers(0, 3, 4))
    positives = same(torch.tensor(random.integers(0, 2, 5)), torch.tensor([0, 1, 0, 1, 0, 1]))
    options = {
        "positives": positives,
        "exclude": ~positives & paired(),
        "multi_positive": multi_positive,
        "margin": 0.1,
    }
    with playing(engine) as name:
        got = info_nce_terms(x, y, negatives=bank, exclude_negatives=same(ids, theirs), engine=name, **options)
        together = dense(torch.cat([options["exclude"].tile(slice(0, 5), slice(0, 6)), ids[:, None] == theirs], dim=1))
        both = dense(torch.cat([positives.tile(slice(0, 5), slice(0, 6)), torch.zeros(5, 4, dtype=torch.bool)], dim=1))
        expected = info_nce_terms(
            x, torch.cat([y, bank]), engine=name, **options | {"positives": both, "exclude": together}
        )
    torch.testing.assert_close(got.cross_entropy, expected.cross_entropy)
    assert got.n_candidates.tolist() == expected.n_candidates.tolist()
    assert got.accuracy() == expected.accuracy()
