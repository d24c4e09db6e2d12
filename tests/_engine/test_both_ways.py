"""The symmetric loss of terms by one node over the logits, against the losses of both directions by themselves."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import info_nce, info_nce_terms
from tests._engine.one_positive import leaves_of, problems, vectors


def one_by_one(terms, reduction="mean"):
    """The loss by way of each direction."""
    return (replace(terms, reverse=None).loss(reduction) + terms.reverse.loss(reduction)) / 2


@given(problems(both_ways=[True]), st.sampled_from(["mean", "sum"]))
def test_values_and_gradients_are_those_of_both_directions(problem, reduction):
    q, k, options, *_ = problem
    leaves = leaves_of(q, k, options)
    terms = info_nce_terms(q, k, **options)
    assert terms.of_both is not None
    values = terms.loss(reduction), one_by_one(terms, reduction), info_nce(q, k, reduction=reduction, **options)
    close = {"rtol": 1e-4, "atol": 1e-4} if values[0].dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(values[0], values[1], **close)
    torch.testing.assert_close(values[0], values[2], **close)
    each = [torch.autograd.grad(x, leaves, retain_graph=True) for x in values]
    size = max(x.abs().max().item() for x in each[2])
    for found in each[:2]:
        for one, other in zip(found, each[2], strict=True):
            limit = torch.finfo(one.dtype).eps if one.dtype in (torch.bfloat16, torch.float16) else close["rtol"]
            assert (one - other).abs().max() <= limit * max(1, size)


@given(problems(both_ways=[True], dtypes=[torch.float64]))
def test_second_derivatives_are_those_of_both_directions(problem):
    q, k, options, *_ = problem
    leaves = leaves_of(q, k, options)
    terms, found = info_nce_terms(q, k, **options), []
    for value in (terms.loss(), one_by_one(terms)):
        first = torch.autograd.grad(value * value.detach().cos(), leaves, create_graph=True, materialize_grads=True)
        size = sum(x.square().sum() for x in first) * value
        found.append([*first, *torch.autograd.grad(size, leaves, retain_graph=True, materialize_grads=True)])
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("first", ["accuracy", "loss", "n_candidates", "nothing"])
def test_every_term_keeps_its_gradient_whatever_was_read_before(first):
    q, k, tau = vectors(1, 6, 4), vectors(2, 6, 4), torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    terms = info_nce_terms(q, k, temperature=tau, symmetric=True)
    with torch.no_grad():
        {
            "accuracy": terms.accuracy,
            "loss": terms.loss,
            "n_candidates": lambda: terms.n_candidates,
            "nothing": lambda: None,
        }[first]()
    value = terms.loss() + terms.per_query().cos().sum() + terms.reverse.positive.cos().sum()
    found = torch.autograd.grad(value, (q, k, tau))
    logits = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(k).T / tau
    each = [logits.logsumexp(dim) - logits.diagonal() for dim in (1, 0)]
    expected = (each[0].mean() + each[1].mean()) / 2 + each[0].cos().sum() + logits.diagonal().cos().sum()
    torch.testing.assert_close(found, torch.autograd.grad(expected, (q, k, tau)))


def test_what_is_changed_in_place_before_the_loss_is_an_error():
    q, k = vectors(1, 6, 4), vectors(2, 6, 4)
    terms = info_nce_terms(q, k, score="dot", symmetric=True)
    with torch.no_grad():
        k.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        terms.loss().backward()


def test_terms_made_without_a_gradient_stay_without_one():
    q, k = vectors(1, 6, 4), vectors(2, 6, 4)
    with torch.no_grad():
        terms = info_nce_terms(q, k, score="dot", symmetric=True)
    assert not any(x.requires_grad for x in (terms.loss(), terms.positive, terms.per_query()))
