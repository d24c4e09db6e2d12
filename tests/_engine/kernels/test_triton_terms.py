"""The terms of a loss by Triton's kernels, from the pass that computes it, against float64."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart import info_nce, info_nce_terms, options, other_views, paired, same, within
from tellapart._engine import one_node_terms
from tellapart._engine.kernels import triton_gradient, triton_launch, triton_loss_gradient
from tellapart._engine.kernels.triton_plan import Plan
from tellapart.diagnostics.hardness import log_negatives
from tests._engine.kernels.triton_here import needs_triton, vectors
from tests.waiting import NoWaiting, as_on_a_gpu

pytestmark = needs_triton
READ = ("per_query", "positive", "log_partition", "top_positive", "top_negative")
COUNTS = ("n_candidates", "n_positives", "n_positive_candidates")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Bands, and blocks of the gradient, so small that a small matrix has several."""
    monkeypatch.setattr(triton_launch, "PARTS", 128)
    monkeypatch.setattr(triton_loss_gradient, "LOW", 32)
    monkeypatch.setattr(triton_gradient, "SIDE", 64)


def line_up(kind, n, more, d, dtype, seed):
    """Queries, keys and options of `info_nce_terms`; some have many positives, some none."""
    labels = torch.arange(n) // 2 * (torch.arange(n) % 9 > 0)
    q, k = vectors(seed, n, d, dtype), vectors(seed + 1, n + (more if kind != "symmetric" else 0), d, dtype)
    if kind == "NT-Xent":
        return k, k, {"positives": other_views(len(k) // 2), "exclude": paired()}
    if kind == "SupCon":
        return q, q, {"positives": same(labels) & ~paired(), "exclude": paired()}
    return (
        q,
        k,
        {
            "one way": {},
            "symmetric": {"symmetric": True},
            "negatives": {"negatives": vectors(seed + 2, 1 + more, d, dtype)},
            "repeated captions": {"exclude": same(labels, torch.arange(n + more) // 2) & ~paired()},
            "labels": {"positives": same(labels, torch.arange(n + more) // 3 % 7)},
            "times and negatives": {
                "positives": within(1.0 * labels, 2.0 * torch.arange(n + more), 3.0),
                "negatives": vectors(seed + 2, 1 + more, d, dtype),
            },
        }[kind],
    )


KINDS = ("one way", "symmetric", "negatives", "repeated captions", "NT-Xent", "SupCon", "labels", "times and negatives")


def in_float64(q, k, given_):
    """The same terms of the whole matrix."""
    wide = {x: y.detach().double() if isinstance(y, torch.Tensor) else y for x, y in given_.items()}
    own = q.detach().double().requires_grad_()
    return info_nce_terms(own, own if k is q else k.detach().double().requires_grad_(), engine="dense", **wide)


def sides(terms):
    return [terms] if terms.reverse is None else [terms, terms.reverse]


def read(terms, name):
    found = getattr(terms, name)
    return found() if callable(found) else found


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(2, 45),
    more=st.integers(0, 30),
    d=st.sampled_from([7, 16, 33]),
    tau=st.sampled_from([0.07, 1.0]),
    score=st.sampled_from(["cosine", "dot"]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_all_terms_are_those_in_float64(kind, n, more, d, tau, score, dtype, seed):
    q, k, given_ = line_up(kind, n, more + (n + more) % 2 * (kind == "NT-Xent"), d, dtype, seed)
    given_ |= {"temperature": tau * (d if score == "dot" else 1), "score": score}
    expected = in_float64(q, k, given_)
    with options(kernels="triton"):
        found = info_nce_terms(q, k, engine="tiled", **given_)
    assert isinstance(found.facts, one_node_terms._ByNode)
    tolerance = (2e-5 if dtype == torch.float32 else 5e-3) / tau
    for own, other in zip(sides(found), sides(expected), strict=True):
        for name in READ:
            with torch.no_grad():
                value, exact = read(own, name), read(other, name).detach()
            assert not value.requires_grad or name == "per_query"
            assert torch.equal(value.isfinite(), exact.isfinite())
            # There is no mean logit of no positive.
            there = exact.isfinite() & ((other.n_positives > 0) | (name != "positive"))
            assert ((value.double() - exact)[there].abs() <= tolerance).all()
        for name in COUNTS:
            assert torch.equal(read(own, name), read(other, name))
        torch.testing.assert_close(
            log_negatives(own).double(), log_negatives(other), atol=tolerance, rtol=0, equal_nan=True
        )
    assert found.n_with_positive == expected.n_with_positive
    if dtype == torch.float32:
        assert found.accuracy().item() == pytest.approx(expected.accuracy().item())


@pytest.mark.parametrize("in_registers", [256, 0])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_their_gradients_are_those_of_info_nce(kind, reduction, in_registers, monkeypatch):
    monkeypatch.setattr(triton_launch, "IN_REGISTERS", in_registers)
    q, k, given_ = line_up(kind, 22, 6, 9, torch.float32, 4)
    tau = torch.tensor(0.2, requires_grad=True)
    with options(kernels="triton"):
        one = info_nce_terms(q, k, temperature=tau, engine="tiled", **given_).loss(reduction)
        other = info_nce(q, k, temperature=tau, engine="tiled", reduction=reduction, **given_)
    torch.testing.assert_close(one, other)
    weights = torch.linspace(0.5, 2, one.numel()).view(one.shape)
    leaves = [q, *([] if k is q else [k]), tau, *(x for x in given_.values() if isinstance(x, torch.Tensor))]
    both = [torch.autograd.grad((x * weights).sum(), leaves) for x in (one, other)]
    torch.testing.assert_close(*both, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_other_terms_have_their_gradient_too(kind):
    q, k, given_ = line_up(kind, 22, 6, 9, torch.float32, 4)
    given_ |= {"temperature": 0.3}
    found = []
    for way in ({"kernels": "triton"}, {"kernels": "torch"}):
        with options(**way):
            engine = "tiled" if way["kernels"] == "triton" else "dense"
            terms = info_nce_terms(q, k, engine=engine, **given_)
            values = [x.positive.masked_fill(x.n_positives == 0, 0).cos().sum() for x in sides(terms)]
            values += [x.log_partition.cos().sum() for x in sides(terms)]
            found.append(torch.autograd.grad(sum(values), q)[0])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("first", [("accuracy",), ("per_query", "positive"), ("n_candidates", "log_partition")])
@pytest.mark.parametrize("kind", KINDS)
def test_every_term_keeps_its_gradient_whatever_was_read_before(kind, first):
    q, k, given_ = line_up(kind, 22, 6, 9, torch.float32, 4)
    tau, found = torch.tensor(0.3, requires_grad=True), []
    for how, names in (({"kernels": "triton"}, first), ({"kernels": "torch"}, ())):
        with options(**how):
            terms = info_nce_terms(q, k, temperature=tau, engine="tiled" if names else "dense", **given_)
            with torch.no_grad():
                for side in sides(terms):
                    for name in names:
                        read(side, name)
            value = terms.loss() + terms.loss("none").cos().mean()
            value = value + sum(x.per_query().sin().mean() + x.log_partition.cos().mean() for x in sides(terms))
            found.append(torch.autograd.grad(value, (q, tau)))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)


def test_one_direction_of_a_symmetric_loss_is_the_loss_one_way():
    q, k = vectors(1, 20, 9), vectors(2, 20, 9)
    with options(kernels="triton"):
        terms = info_nce_terms(q, k, engine="tiled", symmetric=True)
        one_way = [info_nce(q, k, engine="tiled"), info_nce(k, q, engine="tiled")]
    for found, expected in zip((replace(terms, reverse=None).loss(), terms.reverse.loss()), one_way, strict=True):
        torch.testing.assert_close(found, expected)
        gradients = [torch.autograd.grad(x, (q, k), retain_graph=True) for x in (found, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("score", ["cosine", "dot"])
@pytest.mark.parametrize("kind", ["NT-Xent", "symmetric", "one way", "SupCon"])
def test_vectors_that_are_all_alike_tie(kind, score):
    """A tie is a miss, and the positive's logit has the negatives' bits."""
    for d, seed in ((32, 1), (64, 2), (33, 3)):
        x = vectors(seed, 1, d).detach().expand(24, d).contiguous()
        k = x if kind in ("NT-Xent", "SupCon") else x.clone()
        given_ = {
            "NT-Xent": {"positives": other_views(12), "exclude": paired()},
            "SupCon": {"positives": same(torch.arange(24) // 4) & ~paired(), "exclude": paired()},
            "symmetric": {"symmetric": True},
            "one way": {},
        }[kind]
        with options(kernels="triton"):
            terms = info_nce_terms(x, k, engine="tiled", score=score, temperature=0.07, **given_)
        assert isinstance(terms.facts, one_node_terms._ByNode)
        assert terms.accuracy() == 0


@pytest.mark.parametrize("changed", ["queries", "temperature"])
def test_a_gradient_of_what_was_changed_in_place_is_an_error(changed):
    q, k = vectors(1, 20, 9), vectors(2, 20, 9)
    tau = torch.tensor(0.3, requires_grad=True)
    with options(kernels="triton"):
        terms = info_nce_terms(q, k, temperature=tau, engine="tiled", score="dot")
        terms.loss().backward()
        with torch.no_grad():
            {"queries": q, "temperature": tau}[changed].mul_(2)
            assert not terms.positive.requires_grad
        with pytest.raises(RuntimeError, match="changed in place"):
            _ = terms.positive


@pytest.mark.parametrize("symmetric", [False, True])
def test_terms_made_without_a_gradient_stay_without_one(symmetric):
    q, k = vectors(1, 20, 9), vectors(2, 20, 9)
    with torch.no_grad(), options(kernels="triton"):
        terms = info_nce_terms(q, k, engine="tiled", score="dot", symmetric=symmetric)
    assert isinstance(terms.facts, one_node_terms._ByNode)
    assert not any(x.requires_grad for x in (terms.loss(), terms.positive, terms.log_partition, terms.per_query()))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_without_a_gradient_takes_no_further_pass(kind, monkeypatch):
    q, k, given_ = line_up(kind, 22, 6, 9, torch.float32, 4)
    with options(kernels="triton"):
        terms = info_nce_terms(q, k, engine="tiled", **given_)
        launched, usual = [], Plan.launch
        monkeypatch.setattr(Plan, "launch", lambda *a: (launched.append(a[1]), usual(*a)))
        with torch.no_grad():
            for side in sides(terms):
                for name in READ + COUNTS:
                    read(side, name)
        terms.accuracy()
        assert not launched
        terms.loss().backward()
        assert launched


def test_no_positive_at_all_is_an_error():
    x = vectors(1, 12, 5)
    with options(kernels="triton"), pytest.raises(ValueError, match="positives"):
        info_nce_terms(x, x, engine="tiled", positives=same(torch.arange(12)) & ~paired(), exclude=paired())


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_and_what_is_read_of_it_wait_for_nothing(kind, monkeypatch):
    q, k, given_ = line_up(kind, 20, 8, 12, torch.bfloat16, 1)
    temperature = torch.tensor(0.1, requires_grad=True)
    with monkeypatch.context() as patch, options(kernels="triton"):
        as_on_a_gpu(patch)
        with NoWaiting():
            terms = info_nce_terms(q, k, temperature=temperature, engine="tiled", **given_)
            terms.loss().backward()
            with torch.no_grad():
                found = [terms.accuracy(), *(read(terms, name) for name in READ + COUNTS)]
    assert temperature.grad.isfinite()
    assert isinstance(terms.facts, one_node_terms._ByNode)
    assert all(len(x) == len(terms.per_query()) for x in found[1:])
