"""Triton's kernels, interpreted where there is no GPU: values and gradients of the loss against float64."""

import mmap
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart import edges, gaussian, info_nce, info_nce_terms, listed, nt_xent, options, paired, same, variants
from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels import triton_gradient, triton_launch, triton_tiles
from tellapart._engine.kernels.grid import tiling
from tellapart._engine.kernels.interface import Block, FusedRequest
from tellapart._engine.kernels.triton_calls import Operands, Split
from tellapart._engine.kernels.triton_launch import Vectors, rounded
from tellapart._engine.problem import LineUp
from tests import oracle
from tests._engine.kernels.triton_here import apart, needs_triton, vectors, with_gradients

pytestmark = needs_triton
# Of gradients, and of values. Triton's interpreter cuts off the digits of half precision that a GPU rounds.
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 2e-2}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Bands and blocks so small that a small matrix has several."""
    monkeypatch.setattr(triton_launch, "PARTS", 128)
    monkeypatch.setattr(triton_gradient, "SIDE", 64)


def relations(n, m):
    """Positives and what is excluded, or `None`."""
    labels = torch.arange(n) % 5, torch.arange(m) % 5
    places = torch.arange(n)
    return {
        "paired": (paired(), None),
        "repeated captions": (paired(), same(places // 2, torch.arange(m) // 2) & ~paired()),
        "labels": (same(*labels), None),
        "few pairs": (edges(torch.stack([places, places * 3 % m])) | paired(), None),
        "soft": (gaussian(places * 1.0, torch.arange(m) * 1.0, 1.5), None),
    }


@settings(max_examples=12)
@given(
    n=st.integers(1, 40),
    more=st.integers(0, 20),
    d=st.sampled_from([1, 7, 16, 33]),
    kind=st.sampled_from(sorted(relations(1, 1))),
    temperature=st.sampled_from([0.01, 0.07, 1.0]),
    dtype=st.sampled_from(sorted(TOLERANCES, key=str)),
    symmetric=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_loss_is_the_oracles(n, more, d, kind, temperature, dtype, symmetric, seed):
    m = n if symmetric else n + more
    positives, exclude = relations(n, m)[kind]
    queries, keys = vectors(seed, n, d, dtype), vectors(seed + 100, m, d, dtype)
    given_ = {"positives": positives, "exclude": exclude, "temperature": temperature, "symmetric": symmetric}
    expected = oracle.info_nce(
        queries.detach().double().numpy(),
        keys.detach().double().numpy(),
        positives.tile(slice(0, n), slice(0, m)).numpy(),
        np.zeros((n, m)) if exclude is None else exclude.tile(slice(0, n), slice(0, m)).numpy(),
        temperature=temperature,
        symmetric=symmetric,
    )
    found = with_gradients("triton", queries, keys, **given_)
    # Of half precision, a relative error of a logit as large as 1/τ is an absolute one of the loss.
    size = max(1.0, abs(expected), 0.1 / temperature if dtype != torch.float32 else 0)
    assert abs(found[0].item() - expected) <= TOLERANCES[dtype] * size


CASES = {
    "symmetric": {"symmetric": True},
    "one way, few queries": {"n": 5, "m": 300},
    "negatives": {"negatives": torch.linspace(-1, 1, 30 * 9).view(30, 9)},
    "a bias of keys": {"key_bias": torch.linspace(-5, 2, 45)},
    "a margin": {"margin": 0.2},
    "a temperature each": {"temperature": torch.linspace(0.05, 0.5, 35)},
    "labels, in": {"positives": same(torch.arange(35) % 6, torch.arange(45) % 6), "multi_positive": "in"},
    "three columns of ids": {
        "exclude": same(torch.arange(35) % 3, torch.arange(45) % 3)
        & ~(same(torch.arange(35) % 7, torch.arange(45) % 7) | same(torch.arange(35) // 9, torch.arange(45) // 9))
        & ~paired()
    },
    "low scores": {"temperature": 0.01, "opposite": True},
    "distances": {"score": "sqeuclidean", "temperature": 1.0},
    "NT-Xent": {"loss": nt_xent, "m": 35},
    "NT-Xent, large scores": {"loss": nt_xent, "m": 35, "temperature": 0.01},
    "sigmoid": {"loss": variants.sigmoid, "m": 35},
    "no half of the matrix": {"exclude": same(torch.arange(35) < 17, torch.arange(45) < 17) & ~paired()},
}


BY_BLOCKS = ("symmetric", "negatives", "NT-Xent", "low scores", "no half of the matrix")


@pytest.mark.parametrize(
    ("case", "in_registers"), [*((case, 256) for case in CASES), *((case, 0) for case in BY_BLOCKS)]
)
def test_gradients_are_those_of_the_whole_matrix_and_the_same_bits_again(case, in_registers, monkeypatch):
    monkeypatch.setattr(triton_launch, "IN_REGISTERS", in_registers)
    case = dict(CASES[case])
    n, m = case.pop("n", 35), case.pop("m", 35 if case.get("symmetric") else 45)
    queries, keys = vectors(1, n, 9), vectors(2, m, 9)
    if case.pop("opposite", False):
        # Every cosine is near −1: a shift by the largest possible logit would leave nothing of exp(−200).
        queries = (torch.ones(n, 9) + 0.05 * queries.detach()).requires_grad_()
        keys = (-torch.ones(m, 9) + 0.05 * keys.detach()).requires_grad_()
    if case.get("loss") is variants.sigmoid:
        case["loss"] = lambda a, b, engine: variants.sigmoid(a, b)  # noqa: ARG005 - it has one engine
    found = with_gradients("triton", queries, keys, **case)
    assert apart(found, with_gradients("exact", queries, keys, **case)) < 1e-4
    for one, other in zip(found, with_gradients("triton", queries, keys, **case), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("in_registers", [256, 0])
def test_half_precision_errs_less_than_the_plain_formula(dtype, in_registers, monkeypatch):
    monkeypatch.setattr(triton_launch, "IN_REGISTERS", in_registers)
    queries, keys = vectors(1, 50, 33, dtype), vectors(2, 50, 33, dtype)
    exact = with_gradients("exact", queries, keys, symmetric=True)
    unit = [torch.nn.functional.normalize(x, dim=1) for x in (queries, keys)]
    logits, targets = unit[0] @ unit[1].T / 0.07, torch.arange(50)
    plain = sum(torch.nn.functional.cross_entropy(x, targets) for x in (logits, logits.T)) / 2
    plain = [plain, *torch.autograd.grad(plain, (queries, keys))]
    found = with_gradients("triton", queries, keys, symmetric=True)
    for own, other, expected in zip(found, plain, exact, strict=True):
        assert (own - expected).norm() <= (other.double() - expected).norm()


def test_half_precision_reaches_the_products_unless_a_bias_needs_more_digits():
    queries, keys = vectors(1, 4, 3, torch.bfloat16), vectors(2, 4, 3, torch.bfloat16)
    seen = []

    class Seen(triton_tiles.TritonTiles):
        def forward(self, block, **how):
            seen.append(block.queries.dtype)
            return super().forward(block, **how)

    with pytest.MonkeyPatch.context() as patch, options(kernels="triton"):
        from tellapart._engine.kernels import choice

        patch.setattr(choice, "KERNELS", [Seen(), *choice.KERNELS])
        how = {"positives": listed(torch.arange(4)), "engine": "tiled"}
        info_nce(queries, keys, **how)
        info_nce(queries, keys, key_bias=torch.zeros(4), **how)
        info_nce(queries, keys.float(), **how)
    assert seen == [torch.bfloat16, torch.float32, torch.float32]


def test_half_vectors_of_a_whole_matrix_are_converted_which_takes_fewer_calls():
    queries, keys = vectors(1, 4, 3, torch.bfloat16), vectors(2, 4, 3, torch.bfloat16)
    with options(kernels="triton"):
        assert LineUp.build(queries, keys).queries.dtype == torch.float32
        assert LineUp.build(queries, keys).halves is None
        assert LineUp.build(queries, keys, engine="tiled").halves is not None


def test_half_vectors_whose_squares_float32_cannot_hold_are_refused_by_row():
    keys = vectors(2, 4, 3, torch.bfloat16)
    for factor in (1e-30, 1e30):
        queries = torch.cat([keys.detach()[:3], torch.full((1, 3), factor).bfloat16()])
        with options(kernels="triton"), pytest.raises(ValueError, match=r"`queries` must have rows.* in row 3"):
            info_nce(queries, keys, engine="tiled")
    zero = torch.cat([keys.detach()[:3], torch.zeros(1, 3).bfloat16()]).requires_grad_()
    assert apart(with_gradients("triton", zero, keys), with_gradients("exact", zero, keys)) < 1e-2


def test_details_come_from_the_same_pass():
    queries, keys = vectors(1, 35, 9), vectors(2, 35, 9)
    for positives in (None, same(torch.arange(35) % 6)):
        found = []
        for kernels in ("triton", "torch"):
            with options(kernels=kernels):
                terms = info_nce_terms(queries, keys, positives=positives, symmetric=True, engine="tiled")
            found.append([x for side in (terms, terms.reverse) for x in (side.top_positive, side.top_negative)])
        torch.testing.assert_close(*found)


def test_vectors_may_lie_in_memory_in_any_way():
    base = vectors(1, 40, 90).detach()
    for queries, keys in ((base.T[:50, ::2], base[::2, :20].T), (base[:, 3:12], base.flip(0)[:, 40:49])):
        n, m = len(queries), len(keys)
        candidates = Candidates(n, m, m)
        found = triton_tiles.TritonTiles().forward(
            Block(queries, keys[:, : queries.shape[1]], 0.1, candidates, "logits", tiling()), columns=True, keep=0
        )
        scores = 0.1 * queries @ keys[:, : queries.shape[1]].T
        torch.testing.assert_close(found.rows.value(torch.zeros(n)), scores.logsumexp(1))
        torch.testing.assert_close(found.cols.value(torch.zeros(m)), scores.logsumexp(0))


@pytest.mark.parametrize(("n", "d", "far"), [(20, 8, "rows"), (8, 20, "features")])
def test_numbers_may_be_farther_apart_than_32_bits_count(n, d, far):
    """Of memory that is reserved, and touched in a few places."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    stride = 2**27  # 16 times as far is what a step of the features takes
    try:
        pages = mmap.mmap(-1, 2 * (stride * 20 + 8), flags=flags)
    except OSError as error:
        pytest.skip(f"5 GiB of addresses cannot be reserved: {error}")
    strides = (stride, 1) if far == "rows" else (1, stride)
    queries = torch.frombuffer(pages, dtype=torch.bfloat16).as_strided((n, d), strides)
    queries.copy_(vectors(1, n, d, torch.bfloat16).detach())
    block = Block(queries, queries, 1.0, Candidates(n, n, n), "logits", tiling())
    found = triton_tiles.TritonTiles().forward(block, columns=False, keep=0)
    scores = queries.float() @ queries.float().T
    torch.testing.assert_close(found.rows.value(torch.zeros(n)), scores.logsumexp(1))


def test_of_many_keys_few_rows_are_added_up_at_a_time(monkeypatch):
    monkeypatch.setattr(triton_launch, "PARTS", 8)
    heights, sums = [], Operands.sums

    def noted(operands, positives, band, *rest):
        heights.append(band[1])
        sums(operands, positives, band, *rest)

    monkeypatch.setattr(Operands, "sums", noted)
    q, k = vectors(1, 40, 9), vectors(2, 70, 9)
    found, exact = (with_gradients(kernels, q, k, margin=0.1) for kernels in ("triton", "exact"))
    assert apart(found, exact) < TOLERANCES[torch.float32]
    assert heights == [16, 16, 8]


def test_threads_that_multiply_leave_torchs_switch_as_it_was():
    before = torch.backends.cuda.matmul.fp32_precision
    factors = [Split.of(vectors(i, 200 * (i + 1), 300).detach(), "tf32x3") for i in range(2)]

    def work(own):
        into = torch.zeros(len(own.most), len(own.most))
        for _ in range(30):
            own.add_product(own.T, into)

    threads = [threading.Thread(target=work, args=(own,)) for own in factors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.backends.cuda.matmul.fp32_precision == before


def test_float32_is_rounded_to_tf32_only_where_torch_may_use_it():
    block = Block(torch.full((1, 1), 1 + 2**-11 + 2**-12), torch.ones(1, 1), 1.0, Candidates(1, 1, 1), "exp", tiling())
    before = torch.backends.cuda.matmul.fp32_precision
    try:
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        assert Vectors.of(block).precision in ("tf32x3", "ieee")
        assert torch.equal(Vectors.of(block).queries, block.queries)
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        assert Vectors.of(block).precision == "tf32"
        assert Vectors.of(block).queries.item() == 1 + 2**-10
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_rounding_to_tf32_has_no_bias():
    values = vectors(3, 1000, 1).detach().abs()
    errors = (rounded(values) - values) / values
    assert errors.abs().max() <= 2**-11
    assert errors.mean().abs() < 2**-14


def test_it_fuses_no_block():
    block = Block(torch.ones(2, 1), torch.ones(2, 1), 1.0, Candidates(2, 2, 2), "exp", tiling())
    kernel = triton_tiles.TritonTiles()
    assert not kernel.fuses(block)
    with pytest.raises(TypeError, match="fuses no block"):
        kernel.fused(block, FusedRequest(torch.zeros(2), None, True, True))
