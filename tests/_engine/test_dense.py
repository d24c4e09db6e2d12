"""The dense engine's two short ways, plain cross-entropies, against its long way."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import edges, info_nce, nt_xent, paired, variants
from tellapart._engine import LineUp, dense, dispatch
from tellapart.relations import listed
from tests.harness import M, N, relations


def vectors(seed, n, d=3):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def told(loss, inputs):
    """The loss, its gradients, and the gradients of their squared norm; or the mistake."""
    try:
        value = loss()
    except ValueError as error:
        return str(error)
    weights = torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).view(value.shape)
    first = torch.autograd.grad((value * weights).sum(), inputs, create_graph=True, materialize_grads=True)
    size = sum(x.square().sum() for x in first)
    return value, *first, *(torch.autograd.grad(size, inputs, materialize_grads=True) if size.requires_grad else ())


@st.composite
def line_ups(draw):
    """Positives and exclusions of N queries and M keys, or of as many keys as queries, with and without more keys."""
    positives, exclude = draw(relations())[0], draw(st.none() | relations().map(lambda pair: pair[0]))
    if exclude is not None and draw(st.booleans()):
        exclude = paired()
    if exclude is not None:
        positives = positives & ~exclude
    if draw(st.booleans()):
        positives = paired() if exclude is None else listed(torch.tensor([1, 2, 3, 4, 0]))
    return {
        "positives": positives,
        "exclude": exclude,
        "negatives": vectors(3, 4) if draw(st.booleans()) else None,
        "temperature": draw(st.sampled_from([0.1, torch.tensor(0.3, dtype=torch.float64)])),
    }


@given(line_ups(), st.booleans(), st.sampled_from(["mean", "sum", "none"]))
def test_the_short_ways_give_the_value_both_derivatives_and_the_mistakes_of_the_long_one(given_, symmetric, reduction):
    q, k = vectors(1, N), vectors(2, M)

    def long():
        terms = dense.evaluate(LineUp.build(q, k, **given_), "out", symmetric)
        terms.check()
        return terms.loss(reduction)

    short = told(lambda: info_nce(q, k, symmetric=symmetric, reduction=reduction, engine="dense", **given_), [q, k])
    expected = told(long, [q, k])
    if isinstance(expected, str):
        assert short == expected
    else:
        torch.testing.assert_close(short, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("loss", "way"),
    [
        (lambda x: info_nce(x, x.flip(0), reduction="none"), "of_one_positive"),
        (lambda x: info_nce(x, x.flip(0), key_bias=x[:, 0]), "of_one_positive"),
        (lambda x: variants.sup_con(x, [0, 0, 1, 1, 1]), "of_shared_target"),
        (lambda x: nt_xent(x, x.flip(0), x.roll(1)), "of_shared_target"),
    ],
)
def test_the_usual_losses_go_a_short_way(loss, way, monkeypatch):
    taken = []
    for name in ("of_one_positive", "of_shared_target"):
        usual = getattr(dispatch, name)
        monkeypatch.setattr(dispatch, name, lambda *a, n=name, f=usual: (taken.append(n), f(*a))[1])
    loss(vectors(1, 5))
    assert taken == [way]


@pytest.mark.parametrize("n", [2, 5, 9])
def test_the_diagonal_is_left_out_of_keys_and_not_of_the_negatives_behind_them(n):
    """With more queries than keys, query i > m has no key of its own, but a negative in that place."""
    q, k, negatives = vectors(1, n), vectors(2, 3), vectors(3, 8)
    positives = listed(torch.tensor([(i + 1) % 3 for i in range(n)]))
    given_ = {"negatives": negatives, "positives": positives, "exclude": paired(), "reduction": "none"}
    s = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(torch.cat([k, negatives])).T / 0.07
    for i in range(min(n, 3)):
        s[i, i] = -torch.inf
    expected = torch.nn.functional.cross_entropy(s, positives.index, reduction="none")
    torch.testing.assert_close(info_nce(q, k, engine="dense", **given_), expected)


def test_few_positives_of_a_middling_matrix_are_listed_and_give_the_same(monkeypatch):
    q, k = vectors(1, 40), vectors(2, 50)
    pairs = torch.stack([torch.arange(40).repeat(2), torch.arange(80) % 50])
    found = []
    for crossover in (0, 2**18):
        monkeypatch.setattr(dispatch, "LISTED_CROSSOVER", crossover)
        loss = info_nce(q, k, positives=edges(pairs), multi_positive="in", symmetric=True)
        found.append([loss, *torch.autograd.grad(loss, [q, k])])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)
