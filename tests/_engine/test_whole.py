"""Few scores of one positive each: one node of autograd, against the oracle, float64 and the way of separate calls."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, normalize

from tellapart import before, info_nce, listed, nt_xent, other_views, paired, same
from tellapart._engine import LineUp, dispatch, whole
from tests import oracle
from tests._engine.one_positive import calls, leaves_of, problems, vectors, with_sums_in_float32
from tests.waiting import NoWaiting, as_on_a_gpu


@pytest.fixture(autouse=True, scope="module")
def no_loss_is_too_small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "TINY", 0)
        yield


@pytest.fixture
def taken(monkeypatch):
    """How often the node was taken."""
    calls = []
    usual = whole._Whole.apply
    monkeypatch.setattr(whole._Whole, "apply", lambda *a: (calls.append(1), usual(*a))[1])
    return calls


def exact(q, k, options, related, excluded, reduction):
    """The loss by the plain formula in float64, and what its inputs are."""
    q64 = q.detach().double().requires_grad_()
    k64 = q64 if k is q else k.detach().double().requires_grad_()
    more = {"temperature": options["temperature"], "negatives": options.get("negatives")}
    more = {x: y.detach().double().requires_grad_() if isinstance(y, torch.Tensor) else y for x, y in more.items()}
    own = k64 if more["negatives"] is None else torch.cat([k64, more["negatives"]])
    score = {
        "cosine": lambda: normalize(q64) @ normalize(own).T,
        "dot": lambda: q64 @ own.T,
        "sqeuclidean": lambda: -(q64[:, None] - own).square().sum(-1),
    }[options["score"]]
    m = k.shape[0]
    out = torch.zeros(len(q), len(own), dtype=torch.bool)
    out[:, :m] = torch.tensor(excluded > 0)
    logits = (score() / more["temperature"]).masked_fill(out, -torch.inf)
    at = torch.tensor(related.argmax(1))
    value = cross_entropy(logits, at, reduction=reduction)
    if options["symmetric"]:
        value = (value + cross_entropy(logits[:, :m].T, at, reduction=reduction)) / 2
    return value, leaves_of(q64, k64, more)


@given(problems(), st.sampled_from(["mean", "sum"]))
def test_value_and_gradients_are_those_of_the_oracle_and_of_float64(problem, reduction):
    q, k, options, related, excluded = problem
    value = info_nce(q, k, reduction=reduction, **options)
    gradients = torch.autograd.grad(value, leaves_of(q, k, options))
    expected, inputs = exact(*problem, reduction)
    eps = torch.finfo(value.dtype).eps
    # A logit is as large as its products, of which each is rounded.
    tau = torch.as_tensor(options["temperature"], dtype=torch.float64).item()
    longest = max(x.detach().double().norm(dim=1).max().item() for x in (q, k, options.get("negatives", q)))
    largest = (1 if options["score"] == "cosine" else 4 * longest**2) / tau
    rounding = 30 * eps * (1 + largest) * (len(q) if reduction == "sum" else 1)
    assert abs(value.item() - expected.item()) <= rounding
    by_hand = oracle.info_nce(
        *(x.detach().double().numpy() for x in (q, k)),
        *(related, excluded),
        symmetric=options["symmetric"],
        temperature=tau,
        score=options["score"],
        negatives=options["negatives"].detach().double().numpy() if "negatives" in options else None,
    )
    assert by_hand * (len(q) if reduction == "sum" else 1) == pytest.approx(expected.item(), rel=1e-9, abs=1e-9)
    for got, want in zip(gradients, torch.autograd.grad(expected, inputs), strict=True):
        last = torch.finfo(got.dtype).eps * want.abs().max().item()
        shortest = min(x.detach().double().norm(dim=1).min().item() for x in (q, k, options.get("negatives", q)))
        unit = 1 / shortest if options["score"] == "cosine" else longest
        scale = max(unit / tau, largest / tau)
        assert (got.double() - want).abs().max().item() <= last + 30 * eps * (1 + largest) * scale * len(q)


@given(problems(), st.sampled_from(["mean", "sum"]))
def test_the_node_gives_what_separate_calls_give_and_is_taken(problem, reduction):
    q, k, options, *_ = problem
    calls, usual = [], whole._Whole.apply
    how = {name: options[name] for name in options if name != "symmetric"}

    def apart():
        terms = dispatch.evaluate(LineUp.build(q, k, **how), symmetric=options["symmetric"])
        return terms.loss(reduction)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole._Whole, "apply", lambda *a: (calls.append(1), usual(*a))[1])
        value = info_nce(q, k, reduction=reduction, **options)
    assert calls
    each = info_nce(q, k, reduction="none", **options)
    together = each.mean() if reduction == "mean" else each.sum() / (1 + options["symmetric"])
    close = {"rtol": 1e-4, "atol": 1e-4} if value.dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close([value, value], [apart(), together], **close)


@given(problems())
def test_the_gradients_of_the_gradients_are_those_of_separate_calls(problem):
    q, k, options, *_ = problem
    if q.dtype != torch.float64:
        return
    leaves = leaves_of(q, k, options)
    how = {name: options[name] for name in options if name != "symmetric"}

    def twice(value):
        first = torch.autograd.grad(value * value.detach().cos(), leaves, create_graph=True, materialize_grads=True)
        size = sum(x.square().sum() for x in first) * value
        return [*first, *torch.autograd.grad(size, leaves, materialize_grads=True)]

    apart = dispatch.evaluate(LineUp.build(q, k, **how), symmetric=options["symmetric"]).loss()
    torch.testing.assert_close(twice(info_nce(q, k, **options)), twice(apart), rtol=1e-8, atol=1e-8)


LOSSES = {
    "one way": lambda q, k, tau: info_nce(q, k, temperature=tau),
    "symmetric": lambda q, k, tau: info_nce(q, k, temperature=tau, symmetric=True),
    "dot": lambda q, k, tau: info_nce(q, k, temperature=tau, symmetric=True, score="dot"),
    "queue": lambda q, k, tau: info_nce(q, k, temperature=tau, score="dot", negatives=k.detach().flip(0)),
    "captions": lambda q, k, tau: info_nce(
        q, k, temperature=tau, symmetric=True, exclude=same(torch.arange(len(q)) % 3) & ~paired()
    ),
    "NT-Xent": lambda q, k, tau: nt_xent(q, k, temperature=tau),
    "NT-Xent, dot": lambda q, k, tau: nt_xent(q, k, temperature=tau, score="dot"),
    "NT-Xent with a bank": lambda q, k, tau: nt_xent(q, k, temperature=tau, negatives=k.detach().flip(0)),
    "NT-Xent with a bank, dot": lambda q, k, tau: nt_xent(
        q, k, temperature=tau, score="dot", negatives=k.detach().flip(0)
    ),
    "one": lambda q, k, tau: (lambda x: info_nce(x, x, temperature=tau, score="dot"))(q + k),
    "causal, one": lambda q, k, tau: (
        lambda x: info_nce(x, x, temperature=tau, exclude=before(torch.arange(len(q))).transposed() & ~paired())
    )(q + k),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("factor", [1.0, -2.5])
def test_a_loss_has_the_gradients_of_separate_calls(loss, factor, monkeypatch):
    tau = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    inputs = [vectors(1, 6, 4), vectors(2, 6, 4), tau]
    found = []
    for way in (whole.loss, lambda *_, **__: None):
        monkeypatch.setattr(whole, "loss", way)
        value = LOSSES[loss](*inputs)
        found.append([value, *torch.autograd.grad(factor * value, inputs)])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_backward_may_be_called_again(loss, dtype, taken):
    inputs = [vectors(1, 6, 4, dtype), vectors(2, 6, 4, dtype), torch.tensor(0.2, requires_grad=True)]
    value = LOSSES[loss](*inputs)
    found = [
        torch.autograd.grad(value, inputs, factor, retain_graph=True) for factor in (None, torch.tensor(2.0), None)
    ]
    assert taken == [1]
    torch.testing.assert_close(found[0], found[2], rtol=0, atol=0)
    torch.testing.assert_close([2 * x for x in found[0]], list(found[1]))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 2), (1, 2), ()])
def test_only_some_inputs_need_a_gradient(loss, needed, taken):
    inputs = [vectors(1, 6, 4), vectors(2, 6, 4), torch.tensor(0.2, dtype=torch.float64, requires_grad=True)]
    value = LOSSES[loss](*inputs)
    everything = torch.autograd.grad(value, inputs)
    some = [x.detach().requires_grad_(i in needed) for i, x in enumerate(inputs)]
    again = LOSSES[loss](*some)
    assert again.requires_grad == bool(needed)
    torch.testing.assert_close(again, value)
    if needed:
        found = torch.autograd.grad(again, [some[i] for i in needed])
        torch.testing.assert_close(found, tuple(everything[i] for i in needed))
    with torch.no_grad():
        torch.testing.assert_close(LOSSES[loss](*inputs), value.detach())
    assert len(taken) == 3


@pytest.mark.parametrize("score", ["dot", "cosine"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_queries_may_be_keys(score, symmetric, taken):
    x = vectors(1, 7, 4)
    given_ = {"score": score, "temperature": 0.3, "symmetric": symmetric}
    one = torch.autograd.grad(info_nce(x, x, **given_), x)
    two = torch.autograd.grad(info_nce(x, x.clone(), **given_), x)
    assert len(taken) == 2
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("needs", [(True, False), (False, True), (True, True)])
def test_negatives_may_have_a_gradient_and_keys_none(needs, taken):
    q, k, others = vectors(1, 4, 3), vectors(2, 6, 3).detach(), vectors(3, 5, 3).detach()
    k.requires_grad_(needs[0])
    others.requires_grad_(needs[1])
    leaves = [q, *(x for x in (k, others) if x.requires_grad)]

    def gradients(reduction):
        each = info_nce(q, k, negatives=others, score="dot", reduction=reduction)
        return torch.autograd.grad(each.sum(), leaves)

    torch.testing.assert_close(gradients("sum"), gradients("none"))
    assert taken == [1]


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_a_batch_of_gradients_is_that_of_each(score):
    """As `torch.autograd.functional.jacobian(..., vectorize=True)` asks for them."""
    q, k = vectors(1, 5, 3), vectors(2, 5, 3)

    def several(x):
        value = info_nce(x, k, score=score, symmetric=True)
        return torch.stack([value, 3 * value])

    for function in (torch.autograd.functional.jacobian, torch.autograd.functional.hessian):
        of = several if function is torch.autograd.functional.jacobian else lambda x: several(x)[1]
        torch.testing.assert_close(function(of, q, vectorize=True), function(of, q))


def test_a_positive_that_is_excluded_is_no_candidate(taken):
    q, k = vectors(1, 3, 2), vectors(2, 3, 2)
    value = info_nce(q, k, exclude=same([0, 1, 2]))
    s = normalize(q) @ normalize(k).T / 0.07
    others = s.masked_fill(torch.eye(3, dtype=torch.bool), -torch.inf)
    torch.testing.assert_close(value, (others.logsumexp(1) - s.diagonal()).mean())
    with pytest.raises(ValueError, match="leave every query a candidate"):
        info_nce(q, k, exclude=same([0, 0, 0]))
    assert not taken


def test_an_exclusion_that_may_meet_positives_takes_another_way(taken):
    q, k = vectors(1, 3, 2), vectors(2, 3, 2)
    value = info_nce(q, k, positives=listed(torch.tensor([1, 2, 0])), exclude=same([0, 1, 2]), symmetric=False)
    s = (normalize(q) @ normalize(k).T / 0.07).masked_fill(torch.eye(3, dtype=torch.bool), -torch.inf)
    assert not taken
    torch.testing.assert_close(value, cross_entropy(s, torch.tensor([1, 2, 0])))


@given(st.floats(-60, 60), st.floats(0, 60), st.integers(2, 12), st.booleans())
def test_small_and_large_losses_keep_their_digits(level, gap, n, symmetric):
    """Each query is `gap` nats nearer to its key, or farther from it, than to all others."""
    for sign in (1, -1):
        x = torch.cat([torch.eye(n) * sign * gap, torch.full((n, 1), level)], dim=1).requires_grad_()
        y = torch.cat([torch.eye(n), torch.ones(n, 1)], dim=1).requires_grad_()
        found = info_nce(x, y, score="dot", temperature=1.0, symmetric=symmetric)
        x64, y64 = x.detach().double().requires_grad_(), y.detach().double().requires_grad_()
        s, at = x64 @ y64.T, torch.arange(n)
        expected = cross_entropy(s, at)
        if symmetric:
            expected = (expected + cross_entropy(s.T, at)) / 2
        plain = cross_entropy(x @ y.T, at)
        eps = torch.finfo(torch.float32).eps
        error = abs(found.item() - expected.item())
        assert error <= 2 * abs(plain.item() - expected.item()) + n * eps * max(1, expected.item())
        for got, want in zip(
            torch.autograd.grad(found, [x, y]), torch.autograd.grad(expected, [x64, y64]), strict=True
        ):
            assert (got - want).abs().max() <= 8 * eps * (1 + gap + abs(level)) ** 2


@pytest.mark.parametrize(
    ("relation", "n", "m", "by"),
    [
        (paired(), 3, 5, 0),
        (paired(), 5, 3, None),
        (other_views(3), 6, 6, 3),
        (other_views(3), 9, 9, None),
        (same([1, 2, 3]), 3, 3, None),
    ],
)
def test_a_relation_tells_by_how_much_it_is_turned(relation, n, m, by):
    assert relation.turned(n, m) == by
    if by is not None:
        expected = torch.arange(n).add(by).remainder(n)[:, None] == torch.arange(m)
        assert torch.equal(relation.tile(slice(0, n), slice(0, m)), expected)


def plainly(q, k, tau):
    logits, places = q @ k.T / tau.to(q.dtype), torch.arange(len(q))
    return (cross_entropy(logits, places) + cross_entropy(logits.T, places)) / 2


@pytest.mark.parametrize(("loss", "more"), [("dot", -6), ("symmetric", 16), ("NT-Xent, dot", -7)])
def test_a_step_calls_pytorch_less_often_than_the_plain_formula(loss, more, monkeypatch):
    """Of unit vectors, which the plain formula here does not make, there are more calls."""
    as_on_a_gpu(monkeypatch, reading=True)
    inputs = [vectors(1, 8, 4, torch.bfloat16), vectors(2, 8, 4, torch.bfloat16), torch.tensor(0.07).requires_grad_()]
    assert calls(LOSSES[loss], inputs) <= calls(plainly, inputs) + more


# Those of a sum of both vectors are left out: bfloat16 rounds it.
@pytest.mark.parametrize("loss", [name for name in LOSSES if name not in ("one", "causal, one")])
def test_half_vectors_as_they_are_on_a_gpu(loss, monkeypatch):
    """A processor multiplies in their place what a GPU does, with sums in float32."""
    inputs = [vectors(1, 8, 4, torch.bfloat16), vectors(2, 8, 4, torch.bfloat16), torch.tensor(0.2).requires_grad_()]
    exactly = [x.detach().double().requires_grad_() for x in inputs]
    value = LOSSES[loss](*exactly)
    expected = torch.autograd.grad(value, exactly)
    monkeypatch.setattr(whole, "_stays_half", lambda x: x.dtype == torch.bfloat16)
    monkeypatch.setattr(whole, "_product", with_sums_in_float32)
    with pytest.MonkeyPatch.context() as gpu:
        as_on_a_gpu(gpu)
        with NoWaiting():
            found = LOSSES[loss](*inputs)
            gradients = torch.autograd.grad(found, inputs, retain_graph=True)
    several = torch.autograd.grad(found, inputs, torch.tensor([1.0, 2.0]), is_grads_batched=True)
    torch.testing.assert_close(found.double(), value, rtol=1e-5, atol=1e-5)
    assert [x.dtype for x in gradients] == [x.dtype for x in inputs]
    for got, want in zip(gradients, expected, strict=True):
        bound = 2**-7 if got.dtype == torch.bfloat16 else 1e-4
        assert (got.double() - want).abs().max() <= bound * want.abs().max()
    for got, want in zip(several, gradients, strict=True):
        torch.testing.assert_close(got, torch.stack([want, 2 * want]))


def test_autocast_does_not_reach_in():
    q, k = vectors(1, 8, 4, torch.float32), vectors(2, 8, 4, torch.float32)
    expected = torch.autograd.grad(info_nce(q, k, symmetric=True), [q, k])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(info_nce(q, k, symmetric=True), [q, k])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(("how", "is_taken"), [({}, False), ({"symmetric": True}, True)], ids=["one way", "symmetric"])
def test_a_cpu_takes_it_of_a_tiny_loss_where_it_saves_calls(how, is_taken, taken, monkeypatch):
    monkeypatch.setattr(whole, "TINY", 64)
    q, k = vectors(1, 8, 3), vectors(2, 8, 3)
    info_nce(q, k, **how)
    assert bool(taken) == is_taken
    info_nce(q, vectors(3, 9, 3))
    assert taken


@pytest.mark.parametrize("score", ["dot", "cosine"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("twice", [False, True])
def test_a_queue_may_be_written_to_before_backward(score, dtype, twice):
    q, k, queue = (vectors(seed, 6, 4, dtype).detach().requires_grad_(seed == 1) for seed in (1, 2, 3))
    tau = torch.tensor(0.2, requires_grad=True)

    def gradients(write):
        further, temperature = queue.clone(), tau.detach().clone().requires_grad_()
        value = info_nce(q, k, negatives=further, temperature=temperature, score=score)
        if write:
            with torch.no_grad():
                further[:2] = 0
                temperature.clamp_(min=1.0)
        first = torch.autograd.grad(value, (q, temperature), create_graph=twice)
        return torch.autograd.grad(first[0].square().sum(), q) if twice else first

    for one, other in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_loss_of_nothing_to_tell_apart_is_not_minus_0():
    value = info_nce(torch.eye(1), torch.eye(1), symmetric=True)
    assert str(value.item()) == "0.0"
