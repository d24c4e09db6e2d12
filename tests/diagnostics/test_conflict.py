"""The cosine between two objectives' gradients, beside one taken slowly."""

import math

import pytest
import torch
from torch import nn

from tellapart.diagnostics import gradient_cosine


def slowly(losses, parameters):
    """By two backward passes of their own, over the parameters that have a gradient in both."""
    found = []
    for loss in losses:
        for parameter in parameters:
            parameter.grad = None
        loss.backward(retain_graph=True)
        found.append([None if p.grad is None else p.grad.to_dense().flatten() for p in parameters])
    shared = [(a, b) for a, b in zip(*found, strict=True) if a is not None and b is not None]
    both = [torch.cat(side) for side in zip(*shared, strict=True)]
    return torch.nn.functional.cosine_similarity(*both, dim=0).item()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_cosine_of_the_gradients_by_the_parameters_that_both_move(seed, sparse):
    torch.manual_seed(seed)
    table, shared, own = (
        nn.EmbeddingBag(9, 4, sparse=sparse).double(),
        nn.Linear(4, 3).double(),
        nn.Linear(3, 2).double(),
    )
    parameters = [p for module in (table, shared, own) for p in module.parameters()]
    first = (shared(table(torch.randint(0, 9, (5, 3)))) ** 2).mean()
    second = own(shared(table(torch.randint(0, 9, (6, 2))))).sin().sum()
    found = gradient_cosine(first, second, parameters).item()
    assert all(p.grad is None for p in parameters)
    assert found == pytest.approx(slowly([first, second], parameters), rel=1e-9)


@pytest.mark.parametrize(("factor", "wanted"), [(3.0, 1.0), (-0.5, -1.0)])
def test_multiples_agree_or_oppose_whatever_their_length(factor, wanted):
    weight = torch.randn(5, requires_grad=True)
    loss = (weight**3).sum()
    assert gradient_cosine(loss, factor * loss, [weight]).item() == pytest.approx(wanted, rel=1e-6)


def test_what_shares_nothing_has_no_cosine():
    a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    assert math.isnan(gradient_cosine(a.sum(), b.sum(), [a, b]).item())
    assert math.isnan(gradient_cosine(a.sum(), (0 * a).sum(), [a]).item())


@pytest.mark.parametrize("bad", [torch.ones(2, requires_grad=True) * 2, torch.ones(())])
def test_what_is_no_loss_is_refused(bad):
    weight = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="`second` must be a scalar with a gradient"):
        gradient_cosine(weight.sum(), bad, [weight])
