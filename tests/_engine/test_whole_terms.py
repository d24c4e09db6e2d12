"""The terms of few scores with one positive each: those of separate calls, and the loss of the node."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import info_nce, info_nce_terms, other_views, paired
from tellapart._engine import LineUp, dispatch, whole, whole_node, whole_terms
from tests._engine.one_positive import Calls, calls, leaves_of, problems, vectors, with_sums_in_float32
from tests.waiting import NoWaiting, as_on_a_gpu

READ = ["cross_entropy", "positive", "log_partition", "n_candidates", "n_positives"]
DETAILS = ["n_positive_candidates", "top_positive", "top_negative"]


@pytest.fixture(autouse=True, scope="module")
def no_loss_is_too_small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "TINY", 0)
        yield


def separate(q, k, options):
    how = {name: options[name] for name in options if name != "symmetric"}
    return dispatch.evaluate(LineUp.build(q, k, **how), symmetric=options["symmetric"], detailed=True)


def sides(terms):
    return [terms] if terms.reverse is None else [terms, terms.reverse]


def assert_close(found, expected):
    dtype = expected.dtype if expected.is_floating_point() else torch.float64
    limits = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(found, expected, **limits)


def by_node(terms):
    return isinstance(terms.facts, whole_terms._ByNode)


@given(problems(), st.booleans(), st.booleans())
def test_all_terms_are_those_of_separate_calls(problem, loss_first, with_gradient):
    q, k, options, *_ = problem
    found, expected = info_nce_terms(q, k, **options), separate(q, k, options)
    assert by_node(found)
    if loss_first:
        found.loss().backward()
    for side, other in zip(sides(found), sides(expected), strict=True):
        for name in READ + DETAILS:
            with torch.set_grad_enabled(with_gradient):
                value = getattr(side, name)
            assert value.requires_grad == (with_gradient and getattr(other, name).requires_grad)
            assert_close(value.detach(), getattr(other, name).detach())
        assert_close(side.details.log_negatives, other.details.log_negatives)
    assert_close(found.accuracy(), expected.accuracy())
    assert_close(found.loss("none"), expected.loss("none"))


@given(problems(), st.sampled_from(["mean", "sum"]))
def test_the_loss_and_its_gradient_are_the_nodes_to_the_last_bit(problem, reduction):
    q, k, options, *_ = problem
    leaves = leaves_of(q, k, options)
    ways = info_nce(q, k, reduction=reduction, **options), info_nce_terms(q, k, **options).loss(reduction)
    losses, gradients = list(ways), [torch.autograd.grad(x, leaves) for x in ways]
    assert torch.equal(*losses)
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


@given(problems())
def test_each_term_has_the_gradient_of_separate_calls(problem):
    q, k, options, *_ = problem
    if q.dtype != torch.float64:
        return
    leaves = leaves_of(q, k, options)
    for name in ("cross_entropy", "positive", "log_partition"):
        one, other = (
            sum(getattr(side, name).cos().sum() for side in sides(terms))
            for terms in (info_nce_terms(q, k, **options), separate(q, k, options))
        )
        for x, y in zip(
            torch.autograd.grad(one, leaves, allow_unused=True),
            torch.autograd.grad(other, leaves, allow_unused=True),
            strict=True,
        ):
            torch.testing.assert_close(x, y, rtol=1e-8, atol=1e-8)


def test_one_direction_of_a_symmetric_loss_is_the_loss_one_way():
    q, k = vectors(1, 6, 4), vectors(2, 6, 4)
    terms = info_nce_terms(q, k, symmetric=True)
    assert by_node(terms)
    torch.testing.assert_close(replace(terms, reverse=None).loss(), info_nce(q, k))
    torch.testing.assert_close(terms.reverse.loss("sum"), info_nce(k, q, reduction="sum"))
    assert "of_both" in {field.name for field in fields(terms)}


@pytest.mark.parametrize("symmetric", [False, True])
def test_what_is_read_without_a_gradient_takes_no_further_product(symmetric):
    q, k = vectors(1, 6, 4), vectors(2, 6, 4)
    terms = info_nce_terms(q, k, symmetric=symmetric)
    terms.loss().backward()

    class Products(Calls):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function.overloadpacket is torch.ops.aten.mm:
                self.number += 1
            return function(*args, **(kwargs or {}))

    with Products() as counted, torch.no_grad():
        for side in sides(terms):
            for name in READ + DETAILS:
                getattr(side, name)
        terms.accuracy()
    assert counted.number == 0
    with Products() as counted:
        assert all(side.positive.requires_grad for side in sides(terms))
    assert counted.number == 1


def test_terms_made_without_a_gradient_stay_without_one():
    q, k = vectors(1, 6, 4), vectors(2, 6, 4)
    with torch.no_grad():
        terms = info_nce_terms(q, k, symmetric=True)
    assert not any(x.requires_grad for x in (terms.loss(), terms.positive, terms.per_query()))


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_a_queue_may_be_written_to_before_the_loss_is_asked_for(score):
    q, k = vectors(1, 6, 4), vectors(2, 6, 4).detach()
    found = []
    for write in (False, True):
        queue, tau = vectors(3, 5, 4).detach(), torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
        terms = info_nce_terms(q, k, negatives=queue, temperature=tau, score=score)
        if write:
            with torch.no_grad():
                queue[:2] = 0
                tau.clamp_(min=1.0)
        value = terms.loss()
        found.append([value, *torch.autograd.grad(value, (q, tau))])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_half_vectors_as_they_are_on_a_gpu(monkeypatch):
    """A processor multiplies in their place what a GPU does, with sums in float32."""
    x, tau = vectors(1, 2, 4, torch.bfloat16), torch.tensor(0.2).requires_grad_()
    given_ = {"positives": other_views(1), "exclude": paired(), "score": "dot"}
    exactly = [x.detach().double().requires_grad_(), tau.detach().double().requires_grad_()]
    expected = info_nce_terms(exactly[0], exactly[0], temperature=exactly[1], **given_)
    assert (expected.top_negative == -torch.inf).all()
    monkeypatch.setattr(whole, "_stays_half", lambda x: x.dtype == torch.bfloat16)
    monkeypatch.setattr(whole_node, "_product", with_sums_in_float32)
    with pytest.MonkeyPatch.context() as gpu, NoWaiting():
        as_on_a_gpu(gpu)
        terms = info_nce_terms(x, x, temperature=tau, **given_)
        found = [getattr(terms, name) for name in READ + DETAILS]
        terms.loss().backward()
    for value, name in zip(found, READ + DETAILS, strict=True):
        assert_close(value.float(), getattr(expected, name).float())
    assert tau.grad == 0  # a single candidate


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_step_calls_pytorch_hardly_more_often_than_without_terms(symmetric, monkeypatch):
    as_on_a_gpu(monkeypatch, reading=True)
    inputs = [vectors(1, 8, 4, torch.bfloat16), vectors(2, 8, 4, torch.bfloat16), torch.tensor(0.07).requires_grad_()]
    given_ = {"symmetric": symmetric, "score": "dot"}
    alone = calls(lambda q, k, tau: info_nce(q, k, temperature=tau, **given_), inputs)
    assert calls(lambda q, k, tau: info_nce_terms(q, k, temperature=tau, **given_).loss(), inputs) <= alone + 4
