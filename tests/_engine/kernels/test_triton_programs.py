"""The programs of a launch may run at once and in any order, and stay within their arguments' memory."""

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tellapart import gaussian, info_nce, info_nce_terms, nt_xent, options, paired, same, variants
from tellapart._engine.kernels import triton_gradient, triton_launch, triton_loss_gradient
from tellapart._engine.kernels.triton_plan import Plan
from tellapart.negatives import guided
from tests._engine.kernels.compiled import KERNELS, described
from tests._engine.kernels.launches import checked_launches
from tests._engine.kernels.triton_here import needs_triton, vectors

pytestmark = needs_triton


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Bands and blocks so small that a small matrix has several."""
    monkeypatch.setattr(triton_gradient, "SIDE", 64)
    monkeypatch.setattr(triton_launch, "PARTS", 128)
    monkeypatch.setattr(triton_loss_gradient, "LOW", 32)


def line_up(kind, q, k, tau):
    """A loss of queries and keys."""
    groups = torch.arange(len(q)) // 3
    how = {"temperature": tau, "engine": "tiled"}
    return {
        "symmetric": lambda: info_nce(q, k, symmetric=True, **how),
        "terms": lambda: info_nce_terms(q, k, exclude=same(groups) & ~paired(), **how).loss(),
        "negatives": lambda: info_nce(q, k, negatives=k.flip(0) * 2, score="dot", **how),
        "views": lambda: nt_xent(q, k, **how),
        "labels": lambda: variants.sup_con(q, labels=groups, **how),
        "a guide": lambda: info_nce(q, k, exclude=guided(q.detach().float(), k.detach().float()), **how),
        "soft": lambda: info_nce(q, k, positives=gaussian(groups * 1.0, None, 1.0), **how),
        "sigmoid": lambda: variants.sigmoid(q, k, temperature=tau),
    }[kind]


def gradients(kind, n, d, dtype, seed, offset=0):
    """A loss and its gradients, of vectors that begin so many numbers behind the start of their memory."""
    q, k = (
        x.detach().new_empty(x.numel() + offset)[offset:].view_as(x).copy_(x.detach()).requires_grad_()
        for x in (vectors(seed, n, d, dtype), vectors(seed + 1, n, d, dtype))
    )
    tau = torch.tensor(0.1, requires_grad=True)
    with options(kernels="triton"):
        loss = line_up(kind, q, k, tau)()
    return loss.detach(), *torch.autograd.grad(loss, (q, k, tau), allow_unused=True)


KINDS = ("symmetric", "terms", "negatives", "views", "labels", "a guide", "soft", "sigmoid")


@settings(max_examples=16, phases=(Phase.explicit, Phase.generate))  # to shrink takes minutes
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(2, 40),
    d=st.sampled_from([7, 16, 33]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    long=st.booleans(),
    seed=st.integers(0, 99),
)
def test_programs_in_any_order_give_the_same_bits_and_keep_to_their_arguments(kind, n, d, dtype, long, seed):
    with pytest.MonkeyPatch.context() as patch:
        if long:  # as if the vectors were too long for registers
            patch.setattr("tellapart._engine.kernels.triton_launch.keeps_rows", lambda _: False)
        expected = gradients(kind, n, d, dtype, seed)
        with checked_launches(seed):
            found = gradients(kind, n, d, dtype, seed)
    for own, other in zip(found, expected, strict=True):
        assert (own is None and other is None) or torch.equal(own, other)


def kinds_of_launches(monkeypatch):
    """Under each name of each plan what is launched: types, numbers that are 1, what 16 divides, grid and constants."""
    kinds, launch = {}, Plan.launch

    def noted(plan, name, arguments, make):
        values, divided = {}, {}
        types = tuple(described(x, (i,), values, divided) for i, x in enumerate(arguments))
        kinds.setdefault((plan, name), set()).add((types, tuple(values.items()), tuple(divided), repr(make())))
        launch(plan, name, arguments, make)

    monkeypatch.setattr(Plan, "launch", noted)
    return kinds


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_plan_launches_under_one_name_is_of_one_kind(kind, long, monkeypatch):
    if long:
        monkeypatch.setattr("tellapart._engine.kernels.triton_launch.keeps_rows", lambda _: False)
    kinds = kinds_of_launches(monkeypatch)
    for n, offset in ((20, 0), (20, 1), (70, 0), (70, 8)):
        gradients(kind, n, 7, torch.bfloat16, 0, offset)
    assert kinds
    assert all(len(found) == 1 for found in kinds.values())


def test_every_kernel_is_checked(monkeypatch):
    with checked_launches() as kernels:
        gradients("symmetric", 20, 9, torch.bfloat16, 0)
        monkeypatch.setattr("tellapart._engine.kernels.triton_launch.keeps_rows", lambda _: False)
        gradients("symmetric", 20, 9, torch.bfloat16, 0)
    assert kernels == KERNELS


def test_what_a_gpu_would_do_to_a_faulty_kernel_is_found():
    import triton
    import triton.language as tl

    @triton.jit
    def count_kernel(out, STEP: tl.constexpr):  # noqa: N803 - as Triton's constants are named
        tl.store(out + tl.program_id(0) * STEP, tl.load(out) + 1.0)

    for step, fault in ((0, "writes twice"), (1, "reads what others write"), (1 << 30, "leaves its arguments")):
        with checked_launches(), pytest.raises(Exception, match=fault):
            count_kernel[(2,)](torch.zeros(2), STEP=step)
