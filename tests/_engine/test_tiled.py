"""The tiled engine as it cuts by itself, against the dense one in float64; and what streaming promises."""

from functools import cache

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tellapart
from tellapart import dense, info_nce, info_nce_terms, nt_xent, options, other_views, paired, same, within
from tellapart._engine import LineUp
from tellapart._engine.dispatch import choose
from tellapart._engine.kernels.grid import tiled
from tellapart._engine.schedule import Schedule
from tellapart.negatives import guided
from tests.engines import Largest

N, D = 650, 24  # four bands of rows and of columns, the last ones lower; so are all matrices of up to 2048 rows cut


def vectors(seed, n=N, d=D, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


LABELS = torch.arange(N) * 7919 % 13


@cache
def cases(n):
    """Options of a loss of n queries."""
    labels, around = torch.arange(n) * 7919 % 13, torch.arange(n) * 31 % n
    return {
        "one way": {},
        "symmetric": {"symmetric": True},
        "more keys": {"extra": 350},
        "shared negatives": {"negatives": vectors(5, 450)},
        "negatives of their own": {"negatives": vectors(7, n * 3).view(n, 3, D)},
        "τ per query, bias per key": {
            "temperature": 0.1 + vectors(8, n, 1)[:, 0].abs(),
            "key_bias": vectors(6, n, 1)[:, 0],
        },
        "margin": {"margin": 0.2, "symmetric": True},
        "labels, out": {"positives": same(labels) & ~paired(), "exclude": paired()},
        "labels, in": {"positives": same(labels) & ~paired(), "exclude": paired(), "multi_positive": "in"},
        "labels, margin": {"positives": same(labels), "margin": 0.1, "symmetric": True},
        "few positives": {"positives": same(torch.arange(n) // 3), "symmetric": True, "multi_positive": "in"},
        "positives anywhere": {"positives": tellapart.listed(around), "exclude": paired() & ~tellapart.listed(around)},
        "not what a guide finds as close": {"exclude": guided(vectors(9, n, 3), vectors(10, n, 3), margin=-0.1)},
        "nor by the keys' side": {
            "exclude": guided(vectors(9, n, 3), vectors(10, n, 3)).transposed(),
            "symmetric": True,
        },
        "windows": {"positives": within(torch.arange(n), None, 1.5), "exclude": within(torch.arange(n), None, 40)},
        "soft": {"positives": tellapart.gaussian(torch.arange(n) / 50, None, 1.0), "symmetric": True},
        "not related": {"positives": paired(), "exclude": same(labels) & ~paired()},
        "distances": {"score": "sqeuclidean", "temperature": 3.0, "symmetric": True},
        "large scores": {"score": "dot", "temperature": 0.01, "symmetric": True},
        "large scores, one way": {"score": "dot", "temperature": 0.01},
        "more keys, both ways": {"extra": 350, "symmetric": True, "key_bias": vectors(6, n + 350, 1)[:, 0]},
        "fewer keys, both ways": {"extra": -350, "symmetric": True, "positives": same(around, around[350:])},
        "negatives, both ways": {"negatives": vectors(5, 450), "symmetric": True, "margin": 0.1},
        "some without positives": {"positives": same(torch.arange(n), torch.arange(n) + 100)},
    }


CASES = list(cases(N))


def problem(case, dtype=torch.float64, n=N):
    given = dict(cases(n)[case])
    q, k = vectors(1, n, dtype=dtype), vectors(2, n + given.pop("extra", 0), dtype=dtype)
    given = {n: x.to(dtype) if torch.is_tensor(x) and x.is_floating_point() else x for n, x in given.items()}
    return q.requires_grad_(), k.requires_grad_(), given


def losses_and_gradients(case, engine, dtype=torch.float64, reduction="mean"):
    q, k, given = problem(case, dtype)
    loss = info_nce(q, k, engine=engine, reduction=reduction, **given)
    weights = torch.linspace(0.5, 1.5, loss.numel(), dtype=dtype).view(loss.shape)
    (loss * weights).sum().backward()
    return loss.detach(), q.grad, k.grad


@pytest.mark.parametrize("case", CASES)
def test_tiles_give_the_value_and_the_gradients_of_the_whole_matrix(case):
    for reduction in ("mean", "none"):
        expected = losses_and_gradients(case, "dense", reduction=reduction)
        for budget in (0, 2**20, 2**30):  # no tile is kept, some are, all are
            with options(memory_budget=budget), tiled(keep_from=0):
                found = losses_and_gradients(case, "tiled", reduction=reduction)
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_tiles_give_all_the_terms_of_the_whole_matrix(case):
    q, k, given = problem(case)
    with torch.no_grad():
        sides = [info_nce_terms(q, k, engine=engine, **given) for engine in ("dense", "tiled")]
    while sides[0] is not None:
        one, other = sides
        for name in ("log_partition", "cross_entropy", "n_candidates", "n_positives"):
            torch.testing.assert_close(getattr(other, name), getattr(one, name), rtol=1e-9, atol=1e-9)
        for name in ("n_positive_candidates", "top_positive", "top_negative"):
            torch.testing.assert_close(getattr(other, name), getattr(one, name), rtol=1e-9, atol=1e-9)
        asked = one.n_positives > 0
        torch.testing.assert_close(other.positive[asked], one.positive[asked], rtol=1e-9, atol=1e-9)
        sides = [one.reverse, other.reverse]


@pytest.mark.parametrize("case", ["one way", "symmetric", "labels, out", "large scores", "distances"])
def test_in_float32_tiles_err_at_most_twice_as_much_as_the_whole_matrix(case):
    exact = losses_and_gradients(case, "dense")
    plain = losses_and_gradients(case, "dense", torch.float32)
    for budget in (0, 2**30):
        with options(memory_budget=budget), tiled(keep_from=0):
            found = losses_and_gradients(case, "tiled", torch.float32)
        for a, b, c in zip(found, plain, exact, strict=True):
            ulp = torch.finfo(torch.float32).eps * c.abs().max()
            assert (a - c).abs().max() <= 2 * (b - c).abs().max() + ulp


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("temperature", [0.5, 0.005])
def test_triangular_tiles_give_nt_xent_of_the_whole_matrix(views, temperature):
    results = {}
    for engine in ("dense", "tiled"):
        x = [vectors(i, 900).requires_grad_() for i in range(views)]
        tau = torch.tensor(temperature, dtype=torch.float64, requires_grad=True)
        loss = nt_xent(*x, temperature=tau, engine=engine)
        loss.backward()
        results[engine] = [loss.detach(), tau.grad, *(y.grad for y in x)]
    for a, b in zip(results["tiled"], results["dense"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_bounded_and_the_running_shift_agree(symmetric, monkeypatch):
    found = []
    for form in ("exp", "logits"):
        monkeypatch.setattr(Schedule, "form", lambda *_, form=form: form)
        q, k = vectors(1).requires_grad_(), vectors(2).requires_grad_()
        info_nce(q, k, symmetric=symmetric, engine="tiled").backward()
        found.append((q.grad, k.grad))
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("case", [case for case in CASES if case != "negatives of their own"])
def test_no_tensor_of_n_times_m_entries_exists(case):
    """PEERS: "chunked" losses whose graph keeps every chunk. Here forward and backward stay below n·m/3."""
    n = 2300  # a third of all scores is more than the blocks in which relations are computed
    q, k, given = problem(case, torch.float32, n)
    with Largest() as seen, options(memory_budget=0):
        info_nce(q, k, engine="tiled", **given).backward()
    assert seen.numel < n * n / 3


class Products(TorchDispatchMode):
    """Counts multiply-adds of matrix products."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        factors = {"aten::mm": args[:2], "aten::addmm_": args[1:3]}.get(function.name().split(".")[0], ())
        if factors:
            self.total += factors[0].numel() * factors[1].shape[1]
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("given", "needs", "kept", "products"),
    [
        ({}, (True, True), 0, 3),  # formed in the forward pass
        ({}, (True, False), 0, 2),
        ({"reduction": "none"}, (True, True), 0, 4),
        ({"reduction": "none"}, (True, False), 0, 2),
        ({"symmetric": True}, (True, True), 0, 4),
        ({"symmetric": True}, (True, True), 2**30, 3),
        ({"symmetric": True}, (True, False), 0, 3),
        ({}, (False, True), 0, 2),
        ({"symmetric": True}, (False, True), 0, 3),
        ({}, (False, False), 2**30, 1),
    ],
)
def test_no_product_is_computed_that_nothing_needs(given, needs, kept, products):
    q, k = (x.requires_grad_(need) for x, need in zip((vectors(1), vectors(2)), needs, strict=True))
    with Products() as seen, options(memory_budget=kept), tiled(keep_from=0):
        loss = info_nce(q, k, engine="tiled", **given).sum()
        if loss.requires_grad:
            loss.backward()
    assert seen.total == products * N * N * D


def test_of_a_mirrored_matrix_half_the_tiles_are_computed():
    a, b = vectors(1, 2000).requires_grad_(), vectors(2, 2000).requires_grad_()
    with Products() as seen, options(memory_budget=0):
        nt_xent(a, b, engine="tiled").backward()
    assert seen.total < (0.5 + 0.1) * 4 * 4000 * 4000 * D


def test_in_a_ring_half_the_tiles_of_a_processs_own_block_are_computed():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        a, b = vectors(1, 2000).requires_grad_(), vectors(2, 2000).requires_grad_()
        expected = torch.autograd.grad(nt_xent(a, b, engine="tiled"), (a, b))
        with Products() as seen:
            found = torch.autograd.grad(nt_xent(a, b, group=torch.distributed.group.WORLD), (a, b))
    finally:
        torch.distributed.destroy_process_group()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-14)
    assert seen.total < (0.5 + 0.1) * 4 * 4000 * 4000 * D


def test_several_backward_passes_and_accumulation_add_up():
    for symmetric in (False, True):
        q, k = vectors(1).requires_grad_(), vectors(2).requires_grad_()
        loss = info_nce(q, k, engine="tiled", symmetric=symmetric)
        loss.backward(retain_graph=True)
        once = q.grad.clone(), k.grad.clone()
        (2 * loss).backward()
        torch.testing.assert_close(q.grad, 3 * once[0])
        torch.testing.assert_close(k.grad, 3 * once[1])


def test_without_gradients_the_value_is_the_same():
    q, k = vectors(1).requires_grad_(), vectors(2)
    for given in ({}, {"symmetric": True}):
        expected = info_nce(q, k, engine="tiled", **given).detach()
        for mode in (torch.no_grad(), torch.inference_mode()):
            with mode:
                assert info_nce(q, k, engine="tiled", **given) == expected


@pytest.mark.parametrize("symmetric", [False, True])
def test_only_what_needs_a_gradient_gets_one(symmetric):
    expected = {}
    for needs in ((True, True), (True, False), (False, True)):
        q, k = (x.requires_grad_(need) for x, need in zip((vectors(1), vectors(2)), needs, strict=True))
        info_nce(q, k, engine="tiled", symmetric=symmetric).backward()
        assert (q.grad is not None, k.grad is not None) == needs
        for name, x in (("q", q), ("k", k)):
            if x.grad is not None:
                torch.testing.assert_close(x.grad, expected.setdefault(name, x.grad), rtol=1e-9, atol=1e-12)


def test_autocast_reaches_neither_the_forward_nor_the_backward_pass():
    results = []
    for on in (False, True):
        q, k = vectors(1, dtype=torch.float32).requires_grad_(), vectors(2, dtype=torch.float32).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=on), options(memory_budget=0):
            info_nce(q, k, engine="tiled", symmetric=True).backward()
        results.append((q.grad, k.grad))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32_and_its_gradient_comes_back_in_half(dtype):
    q, k = (vectors(i, dtype=dtype) for i in (1, 2))
    exact = [x.double().requires_grad_() for x in (q, k)]
    q, k = q.requires_grad_(), k.requires_grad_()
    loss = info_nce(q, k, engine="tiled", symmetric=True)
    expected = info_nce(*exact, engine="dense", symmetric=True)
    (N * loss).backward()
    (N * expected).backward()
    assert loss.dtype == torch.float32
    assert q.grad.dtype == dtype
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(q.grad.double(), exact[0].grad, rtol=torch.finfo(dtype).eps, atol=1e-5)


@pytest.mark.parametrize("loss", [info_nce, torch.compiler.disable(info_nce)], ids=["as it is", "disabled"])
@pytest.mark.filterwarnings("ignore")  # the compiler has its own opinions
def test_in_a_compiled_function_it_is_a_graph_break(loss):
    """The backend "eager" needs no compiler; what matters here is how Dynamo takes the loss apart."""

    def both(q, k):
        return loss(2 * q, k, engine="tiled", symmetric=True) * 2

    q, k = vectors(1).requires_grad_(), vectors(2).requires_grad_()
    expected = torch.autograd.grad(both(q, k), (q, k))
    found = torch.autograd.grad(torch.compile(both, backend="eager")(q, k), (q, k))
    torch.testing.assert_close(found, expected)


def test_the_engine_is_chosen_from_the_shapes_alone():
    small, large = (LineUp.build(torch.ones(n, 2), torch.ones(n, 2)) for n in (1024, 1025))
    assert [choose(small, "auto"), choose(large, "auto")] == ["dense", "tiled"]
    assert [choose(small, "tiled"), choose(large, "dense")] == ["tiled", "dense"]
    with pytest.raises(ValueError, match=r"`engine` must be one of 'auto', 'dense', 'tiled'\. Got 'fast'"):
        info_nce(torch.eye(2), torch.eye(2), engine="fast")


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {"positives": other_views(N // 2), "exclude": paired()},
        {"positives": same(LABELS) & ~paired(), "exclude": paired(), "multi_positive": "in"},
        {"positives": same(LABELS) & ~paired(), "exclude": paired(), "margin": 0.2},
        {},
    ],
)
def test_a_mirrored_matrix_tells_the_same_as_a_whole_one(given, symmetric):
    results = []
    for engine in ("dense", "tiled"):
        x = vectors(3).requires_grad_()
        terms = info_nce_terms(x, x, symmetric=symmetric, engine=engine, **given)
        terms.loss().backward()
        sides = [terms] if terms.reverse is None else [terms, terms.reverse]
        tops = [y for side in sides for y in (side.top_positive, side.top_negative)]
        results.append([terms.loss().detach(), x.grad, terms.accuracy(), *tops])
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-10)


def test_weights_too_small_for_float32_relate_nobody_in_either_engine():
    """A clock far from all others, and neighbours so faint that a difference of sums would lose them."""
    times = torch.cat([torch.arange(40.0).double(), torch.tensor([1000.0]).double()])
    for sigma in (1.0, 0.18):
        losses = []
        for engine in ("dense", "tiled"):
            x = vectors(1, 41, dtype=torch.float32)
            positives = tellapart.gaussian(times, None, sigma) & ~paired()
            losses.append(info_nce(x, x, positives=positives, exclude=paired(), engine=engine, reduction="none"))
        torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)
        assert losses[0][40] == 0


@pytest.mark.parametrize("options_", [{}, {"symmetric": True}])
def test_second_derivatives_are_those_of_the_whole_matrix_inside_autocast_too(options_):
    results = []
    for engine, on in (("dense", False), ("tiled", True)):
        q, k = vectors(1, 40).requires_grad_(), vectors(2, 40).requires_grad_()
        tau = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=on):
            loss = info_nce(q, k, temperature=tau, engine=engine, **options_)
            first = torch.autograd.grad(loss, (q, k, tau), create_graph=True)
            second = torch.autograd.grad(sum((x**2).sum() for x in first), (q, k, tau))
        results.append([*(x.detach() for x in first), *second])
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)


def test_a_matrix_handed_in_column_by_column_is_read():
    mask = torch.rand(N, N, generator=torch.Generator().manual_seed(0)) < 0.1
    mask[:, 0] = True
    x = vectors(1)
    one, other = (info_nce_terms(x, x, positives=dense(mask.T), engine=e) for e in ("dense", "tiled"))
    torch.testing.assert_close(other.top_positive, one.top_positive)


def test_a_collapsed_encoder_ties_in_tiles_too():
    x = torch.ones(N, D)
    assert info_nce_terms(x, x, symmetric=True, engine="tiled").accuracy() == 0


def test_a_given_matrix_that_excludes_and_weighs_is_read_in_tiles():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(N, N, generator=generator) * (torch.rand(N, N, generator=generator) < 0.1)
    given = {"positives": dense(weights), "exclude": dense(torch.rand(N, N, generator=generator) < 0.2)}
    for how in ("out", "in"):
        results = []
        for engine in ("dense", "tiled"):
            q, k = vectors(1).requires_grad_(), vectors(2).requires_grad_()
            loss = info_nce(q, k, engine=engine, multi_positive=how, symmetric=True, **given)
            loss.backward()
            results.append((loss.detach(), q.grad, k.grad))
        torch.testing.assert_close(*results, rtol=1e-8, atol=1e-12)
