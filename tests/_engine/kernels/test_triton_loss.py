"""The loss by Triton's kernels from end to end: values, gradients and second derivatives against float64."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart import gaussian, info_nce, listed, nt_xent, options, other_views, paired, same, variants, within
from tellapart._engine import How, one_node
from tellapart._engine.kernels import triton_gradient, triton_launch, triton_loss_gradient
from tellapart.negatives import guided
from tests._engine.kernels.triton_here import needs_triton, vectors
from tests.waiting import NoWaiting, as_on_a_gpu

pytestmark = needs_triton
# Of a gradient, as a part of its length. Triton's interpreter cuts off the digits of bfloat16 that a GPU rounds.
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 2e-2}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Bands, and blocks of the gradient, so small that a small matrix has several."""
    monkeypatch.setattr(triton_launch, "PARTS", 128)
    monkeypatch.setattr(triton_loss_gradient, "LOW", 32)
    monkeypatch.setattr(triton_gradient, "SIDE", 64)


def problem(kind, n, more, d, dtype, seed):
    """Embeddings, options and the loss of a kind of line-up with n queries."""
    labels = torch.arange(n) // 2
    if kind == "NT-Xent":
        return nt_xent, [vectors(seed, n, d, dtype), vectors(seed + 1, n, d, dtype)], {}
    if kind == "SupCon":
        n = max(2, n)  # of an odd number the last one is alone with its label
        return partial(variants.sup_con, labels=torch.arange(n) // 2), [vectors(seed, n, d, dtype)], {}
    tensors = [vectors(seed, n, d, dtype), vectors(seed + 1, n + (more if kind != "symmetric" else 0), d, dtype)]
    options_ = {
        "one way": {},
        "symmetric": {"symmetric": True},
        "negatives": {"negatives": vectors(seed + 2, 1 + more, d, dtype)},
        "repeated captions": {"exclude": same(labels, torch.arange(n + more) // 2) & ~paired()},
        "a guide": {
            "exclude": guided(*(vectors(seed + s, size, 5) for s, size in ((2, n), (3, n + more))), margin=0.2)
        },
        "labels": {"positives": same(labels, torch.arange(n + more) // 3)},
        "times and negatives": {
            "positives": within(1.0 * labels, 2.0 * torch.arange(n + more), 3.0),
            "negatives": vectors(seed + 2, 1 + more, d, dtype),
        },
    }[kind]
    return info_nce, tensors, options_


KINDS = ("one way", "symmetric", "negatives", "repeated captions", "NT-Xent", "a guide")
SEVERAL = ("SupCon", "labels", "times and negatives")


def with_gradients(loss, tensors, given_, dtype=None, **how):
    """A loss and the gradients of all tensors among its arguments, with those converted to a dtype."""
    own = [x.detach().to(dtype or x.dtype).requires_grad_() for x in tensors]
    named = {
        name: x.detach().to(x.dtype if dtype is None else dtype).requires_grad_() if isinstance(x, torch.Tensor) else x
        for name, x in given_.items()
    }
    value = loss(*own, **named, **how)
    wanted = [*own, *(x for x in named.values() if isinstance(x, torch.Tensor))]
    return value, torch.autograd.grad(value, wanted), wanted


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS + SEVERAL),
    n=st.integers(1, 45),
    more=st.integers(0, 30),
    d=st.sampled_from([1, 7, 16, 33]),
    in_registers=st.booleans(),
    tau=st.sampled_from([0.01, 0.07, 1.0]),
    score=st.sampled_from(["cosine", "dot"]),
    dtype=st.sampled_from(sorted(TOLERANCES, key=str)),
    seed=st.integers(0, 99),
)
def test_values_and_gradients_are_those_in_float64(kind, n, more, d, in_registers, tau, score, dtype, seed):
    loss, tensors, given_ = problem(kind, n, more, d, dtype, seed)
    given_ |= {"temperature": torch.tensor(tau * (d if score == "dot" else 1)), "score": score}
    with pytest.MonkeyPatch.context() as patch, options(kernels="triton"):
        patch.setattr(triton_launch, "IN_REGISTERS", 256 if in_registers else 0)
        value, found, _ = with_gradients(loss, tensors, given_, engine="tiled")
    assert "OneNode" in value.grad_fn.name()
    expected, exact, _ = with_gradients(loss, tensors, given_, torch.float64, engine="dense")
    tolerance = TOLERANCES[dtype]
    size = max(1.0, abs(expected.item()), 0.2 / tau if dtype == torch.bfloat16 else 5 / tau * 1e-2)
    assert abs(value.item() - expected.item()) <= tolerance * size
    scale = max(x.norm().item() for x in exact)
    for own, other in zip(found, exact, strict=True):
        # A logit is about 1/τ. Of several positives `log Z` is of all candidates, and p − 1 has a logit's rounding.
        rounding = 2e-6 * tau ** (-(kind in SEVERAL) - 1 - (own.ndim == 0))
        assert (own.double() - other).norm() <= tolerance * (other.norm() + 0.1 * scale) + rounding


@pytest.mark.parametrize("in_registers", [256, 0])
@pytest.mark.parametrize("largest", [10.0, 29.0, 31.0, 100.0])
@pytest.mark.parametrize("loss", ["symmetric", "NT-Xent"])
def test_a_wide_range_of_scores_loses_no_small_sum(loss, largest, in_registers, monkeypatch):
    """A tile's shift is too large for rows whose scores are all far below those of another row.

    Logarithms of sums differ by up to twice the largest score, and one exponential is enough up to 60 nats.
    """
    monkeypatch.setattr(triton_launch, "IN_REGISTERS", in_registers)
    q, k = torch.eye(40, 8) + 1e-3, torch.eye(40, 8).flip(0) + 1e-3
    q[::3] *= largest
    given_ = {"temperature": 0.5, "score": "dot"}
    how = {"symmetric": True} if loss == "symmetric" else {}
    objective = info_nce if loss == "symmetric" else nt_xent
    with options(kernels="triton"):
        value, found, _ = with_gradients(objective, [q, k], given_ | how, engine="tiled")
    expected, exact, _ = with_gradients(objective, [q, k], given_ | how, torch.float64, engine="dense")
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    for own, other in zip(found, exact, strict=True):
        assert (own - other).norm() <= 1e-5 * other.norm()
        # Each vector's by itself, for those of small sums do not show in the whole.
        assert ((own - other).norm(dim=1) <= 1e-4 * other.norm(dim=1) + 1e-6 * other.norm(dim=1).median()).all()


@pytest.mark.parametrize("kind", KINDS + SEVERAL)
def test_second_derivatives_are_those_of_the_whole_matrix(kind):
    loss, tensors, given_ = problem(kind, 12, 5, 6, torch.float32, 3)
    given_ |= {"temperature": torch.tensor(0.3), "score": "dot"}

    def penalty(**how):
        own = [x.detach().requires_grad_() for x in tensors]
        named = {k: x.detach().requires_grad_() if isinstance(x, torch.Tensor) else x for k, x in given_.items()}
        wanted = [*own, *(x for x in named.values() if isinstance(x, torch.Tensor))]
        first = torch.autograd.grad(loss(*own, **named, **how), wanted, create_graph=True)
        return torch.autograd.grad(sum((x.square()).sum() for x in first), wanted)

    with options(kernels="triton"):
        found = penalty(engine="tiled")
    for own, other in zip(found, penalty(engine="dense"), strict=True):
        assert torch.allclose(own, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_reductions_are_those_of_the_whole_matrix(reduction, symmetric):
    q, k = vectors(1, 20, 9), vectors(2, 20, 9)
    how = {"reduction": reduction, "symmetric": symmetric}
    with options(kernels="triton"):
        found = info_nce(q, k, engine="tiled", **how)
    expected = info_nce(q, k, engine="dense", **how)
    assert torch.allclose(found, expected, rtol=1e-5)
    weights = torch.linspace(0.5, 2, found.numel()).view(found.shape)
    both = [torch.autograd.grad((x * weights).sum(), (q, k)) for x in (found, expected)]
    for own, other in zip(*both, strict=True):
        assert torch.allclose(own, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", SEVERAL)
def test_reductions_of_several_positives_are_those_of_the_whole_matrix(kind, reduction):
    loss, tensors, given_ = problem(kind, 21, 4, 9, torch.float32, 5)
    with options(kernels="triton"):
        found = loss(*tensors, engine="tiled", reduction=reduction, **given_)
    expected = loss(*tensors, engine="dense", reduction=reduction, **given_)
    assert "OneNode" in found.grad_fn.name()
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    weights = torch.linspace(0.5, 2, found.numel()).view(found.shape)
    both = [torch.autograd.grad((x * weights).sum(), tensors) for x in (found, expected)]
    for own, other in zip(*both, strict=True):
        assert torch.allclose(own, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_no_positive_at_all_is_an_error(reduction):
    with options(kernels="triton"), pytest.raises(ValueError, match="positives"):
        variants.sup_con(vectors(1, 12, 5), torch.arange(12), engine="tiled", reduction=reduction)


@pytest.mark.parametrize("in_registers", [256, 0])
@pytest.mark.parametrize("frozen", [(True, False), (False, True), (True, True)])
def test_only_wanted_gradients_are_formed(frozen, in_registers, monkeypatch):
    monkeypatch.setattr(triton_launch, "IN_REGISTERS", in_registers)
    tensors = [vectors(seed, 20, 9).detach().requires_grad_(not f) for seed, f in zip((1, 2), frozen, strict=True)]
    temperature = torch.tensor(0.1, requires_grad=True)
    wanted = [temperature, *(x for x in tensors if x.requires_grad)]
    with options(kernels="triton"):
        found = torch.autograd.grad(info_nce(*tensors, temperature=temperature, engine="tiled"), wanted)
    expected = torch.autograd.grad(info_nce(*tensors, temperature=temperature, engine="dense"), wanted)
    for own, other in zip(found, expected, strict=True):
        assert torch.allclose(own, other, rtol=1e-4, atol=1e-6)


OTHER_WAYS = {
    "several positives of probability": {"positives": same(torch.arange(12) // 2), "multi_positive": "in"},
    "several positives both ways": {"positives": same(torch.arange(12) // 2), "symmetric": True},
    "an excluded one of several": {"positives": same(torch.arange(12) // 2), "exclude": same(torch.arange(12) // 3)},
    "weights": {"positives": gaussian(torch.arange(12.0), None, 2.0)},
    "an index": {"positives": listed(torch.arange(12).flip(0))},
    "an excluded positive": {"exclude": same(torch.arange(12) // 2)},
    "a margin": {"margin": 0.1},
    "a bias": {"key_bias": torch.zeros(12)},
    "distances": {"score": "sqeuclidean"},
    "a temperature each": {"temperature": torch.full((12,), 0.1)},
    "views that are no queries": {"positives": other_views(6), "symmetric": True},
    "the whole matrix": {"engine": "dense"},
    "few scores": {"engine": "auto"},
}


@pytest.mark.parametrize("case", OTHER_WAYS)
def test_what_it_cannot_tell_takes_another_way(case):
    given_ = dict(OTHER_WAYS[case])
    symmetric, engine = given_.pop("symmetric", False), given_.pop("engine", "tiled")
    with options(kernels="triton"):
        multi_positive = given_.pop("multi_positive", "out")
        how = How(multi_positive, symmetric, engine=engine)
        assert one_node.loss(vectors(1, 12, 5), vectors(2, 12, 5), given_, how) is None


@pytest.mark.parametrize("kind", KINDS + SEVERAL)
def test_a_step_waits_for_nothing(kind, monkeypatch):
    loss, tensors, given_ = problem(kind, 20, 8, 12, torch.bfloat16, 1)
    temperature = torch.tensor(0.1, requires_grad=True)
    with monkeypatch.context() as patch, options(kernels="triton"):
        as_on_a_gpu(patch)
        with NoWaiting():
            loss(*tensors, temperature=temperature, engine="tiled", **given_).backward()
    assert temperature.grad.isfinite()


@pytest.fixture
def switch():
    """Whether torch allows TF32."""
    before = torch.backends.cuda.matmul.fp32_precision
    yield torch.backends.cuda.matmul
    torch.backends.cuda.matmul.fp32_precision = before


def test_a_switch_that_changes_before_backward_changes_nothing(monkeypatch, switch):
    monkeypatch.setattr(triton_launch, "IN_REGISTERS", 0)
    q, k = vectors(1, 20, 9), vectors(2, 20, 9)
    for first, then in (("tf32", "tf32"), ("tf32", "ieee"), ("ieee", "ieee"), ("ieee", "tf32")):
        switch.fp32_precision = first
        with options(kernels="triton"):
            loss = info_nce(q, k, engine="tiled", symmetric=True)
        switch.fp32_precision = then
        found = torch.autograd.grad(loss, (q, k))
        expected = torch.autograd.grad(info_nce(q, k, engine="dense", symmetric=True), (q, k))
        for own, other in zip(found, expected, strict=True):
            assert (own - other).norm() <= 2e-3 * other.norm()


def test_losses_of_each_may_be_written_to():
    q, k = vectors(1, 20, 9), vectors(2, 20, 9)
    with options(kernels="triton"):
        found = info_nce(q, k, engine="tiled", reduction="none")
    expected = info_nce(q, k, engine="dense", reduction="none")
    gradients = [torch.autograd.grad(x.mul_(2.0).sum(), q)[0] for x in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_saved_tensors_may_come_back_with_other_strides():
    q, k = torch.randn(9, 20).T.requires_grad_(), vectors(2, 20, 9)
    repacked = torch.autograd.graph.saved_tensors_hooks(torch.Tensor.contiguous, torch.Tensor.contiguous)
    with repacked, options(kernels="triton"):
        loss = info_nce(q, k, engine="tiled")
    expected = torch.autograd.grad(info_nce(q, k, engine="dense"), (q, k))
    for own, other in zip(torch.autograd.grad(loss, (q, k)), expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("operands", "room", "longest"),
    [
        # In bfloat16, and in float32 by one product in TF32 and by three.
        ("shared memory", 232448, (256, 256, 256)),
        ("shared memory", 101376, (128, 64, 64)),
        ("tensor memory", 232448, (256, 256, 128)),
        ("registers", 166912, (128, 64, 64)),
    ],
)
def test_rows_stay_in_registers_where_the_chip_has_room_for_them(operands, room, longest, monkeypatch):
    monkeypatch.setattr(triton_launch, "is_interpreted", lambda: False)
    monkeypatch.setattr(triton_launch, "chip", lambda _: triton_launch.Chip(100, room, operands))
    kinds = ((torch.bfloat16, "tf32"), (torch.float32, "tf32"), (torch.float32, "tf32x3"))
    kept = [[d for d in (32, 64, 128, 256, 300) if triton_launch.keeps_rows(_of_length(d, *kind))] for kind in kinds]
    assert tuple(map(max, kept)) == longest


def _of_length(d, dtype, precision):
    return triton_launch.Vectors(torch.ones(1, d, dtype=dtype), torch.ones(1, d, dtype=dtype), precision)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("keys_are_queries", [False, True])
def test_a_queue_may_be_written_to_before_backward(twice, keys_are_queries):
    q, queue = vectors(1, 20, 9), vectors(3, 12, 9).detach()
    k = q if keys_are_queries else vectors(2, 20, 9).detach()

    def gradients(**how):
        further = queue.clone()
        loss = info_nce(q, k, negatives=further, score="dot", **how)
        further.zero_()
        first = torch.autograd.grad(loss, q, create_graph=twice)
        return torch.autograd.grad(first[0].square().sum(), q) if twice else first

    with options(kernels="triton"):
        found = gradients(engine="tiled")
    torch.testing.assert_close(found, gradients(engine="dense"), rtol=1e-4, atol=1e-6)


def test_a_small_loss_of_several_positives_keeps_its_digits():
    x = torch.eye(8).repeat_interleave(2, 0)
    how = {"labels": torch.arange(16) // 2, "temperature": 0.08}
    with options(kernels="triton"):
        found = variants.sup_con(x, engine="tiled", **how)
    assert found.item() == pytest.approx(variants.sup_con(x.double(), engine="dense", **how).item(), rel=5e-3)
