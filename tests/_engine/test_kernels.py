"""The streamed reduction over kernels: the same bits for any number of threads, gradients that no promise bends."""

import pytest
import torch

from tellapart import edges, info_nce, info_nce_terms, nt_xent, options, paired, same, variants
from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels import choice
from tellapart._engine.kernels.grid import tiled
from tellapart._engine.kernels.torch_tiles import TorchTiles
from tellapart.relations import dense
from tests.engines import threads

N, D = 300, 16  # 3 × 4 of the tiles below


def vectors(seed, n=N, dtype=torch.float32):
    made = torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.to(dtype).requires_grad_()


LABELS = torch.arange(N) * 7919 % 13
LOSSES = {
    "one way": lambda a, b: info_nce(a, b, engine="tiled"),
    "one way, each query": lambda a, b: info_nce(a, b, engine="tiled", reduction="none").square().sum(),
    "symmetric": lambda a, b: info_nce(a, b, symmetric=True, engine="tiled"),
    "large scores": lambda a, b: info_nce(a, b, score="dot", temperature=0.01, symmetric=True, engine="tiled"),
    "NT-Xent": lambda a, b: nt_xent(a, b, engine="tiled"),
    "SupCon, in": lambda a, _: variants.sup_con(a, LABELS, multi_positive="in", engine="tiled"),
    "edges": lambda a, b: info_nce(a, b, positives=edges(torch.stack([torch.arange(N), LABELS])), engine="tiled"),
    "sigmoid": lambda a, b: variants.sigmoid(a, b),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("budget", [0, 2**30])
def test_any_number_of_threads_gives_the_same_bits_on_every_run(loss, budget):
    found = []
    for n_threads in (1, 2, 3, 7, 2):
        a, b = vectors(1), vectors(2)
        with (
            threads(n_threads),
            options(memory_budget=budget),
            tiled(height=128, width=96, band_height=64, keep_from=0),
        ):
            # Unit vectors are made by operations in parallel, whose sums are those of any number of threads.
            value = LOSSES[loss](a, b)
            value.backward()
        found.append([value.detach(), *(x.grad for x in (a, b) if x.grad is not None)])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize(
    "case", [{}, {"positives": same(LABELS)}, {"positives": paired() & ~same(LABELS // 7, LABELS * 0)}]
)
@pytest.mark.parametrize("weigh", ["alike", "each", "some", "none", "flipped", "almost alike"])
def test_a_gradient_formed_in_the_forward_pass_is_right_for_any_use_of_the_terms(case, weigh):
    """`fuse` expects one gradient for all queries; what another use asks for is computed anew."""
    weights = {
        "alike": torch.full((N,), 0.3),
        "each": torch.linspace(0.5, 1.5, N),
        "some": (torch.arange(N) % 3 == 0).float(),
        "none": torch.zeros(N),
        "flipped": torch.linspace(-1, 1, N),
        "almost alike": 1 + 1e-3 * (torch.arange(N) == 5),
    }[weigh].double()
    found = []
    for engine in ("dense", "tiled"):
        a, b = vectors(1, dtype=torch.float64), vectors(2, dtype=torch.float64)
        terms = info_nce_terms(a, b, engine=engine, **case)
        (weights * terms.per_query() + 0.1 * weights.flip(0) * terms.log_partition).sum().backward()
        found.append((a.grad, b.grad))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weight", [1.0, 1.5, 2.0, 0.0])
def test_the_keys_of_easy_queries_have_their_own_gradient_however_small(weight):
    """Of two groups without common candidates, the easy one's gradient is far below the hard one's rounding."""
    group = torch.arange(N) < N // 2
    found = []
    for engine in ("dense", "tiled"):
        q, k = vectors(1, dtype=torch.float64), vectors(2, dtype=torch.float64).detach()
        k = torch.where(group[:, None], -q.detach(), q.detach() + 0.01 * k).requires_grad_()
        terms = info_nce_terms(q, k, temperature=0.03, exclude=~same(group.long()), engine=engine)
        (torch.where(group, 1.0, weight).double() * terms.per_query()).sum().backward()
        found.append(k.grad[~group])
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("engine", ["dense", "tiled"])
@pytest.mark.parametrize("given", [{}, {"positives": same(LABELS)}, {"margin": 0.1}])
def test_terms_have_the_gradient_that_they_were_made_with_whoever_reads_them_first(engine, given):
    a, b = vectors(1), vectors(2)
    terms = info_nce_terms(a, b, engine=engine, **given)
    with torch.no_grad():
        plain = info_nce_terms(a, b, engine=engine, **given)
        read = [terms.per_query(), terms.log_partition, terms.positive]
    assert all(x.requires_grad for x in read)
    assert not any(x.requires_grad for x in (plain.per_query(), plain.log_partition, plain.positive))


def test_a_fused_gradient_is_right_on_every_backward_pass_through_the_same_graph():
    a, b = vectors(1, dtype=torch.float64), vectors(2, dtype=torch.float64)
    each = info_nce_terms(a, b, engine="tiled").per_query()
    expected = torch.autograd.grad(info_nce(a, b, engine="dense", reduction="none").square().sum(), (a, b))
    torch.autograd.grad(each.mean(), (a, b), retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(each.square().sum(), (a, b)), expected, rtol=1e-9, atol=1e-12)


class OnlySmall(TorchTiles):
    """A kernel that evaluates masks by itself, and has no room for many keys."""

    name = "only_small"

    def __init__(self):
        self.n_blocks = 0

    def supports(self, block):
        if reasons := block.candidates.not_lowered():
            return reasons[0]
        return None if len(block.keys) <= N else f"{len(block.keys)} keys"

    def forward(self, block, **how):
        self.n_blocks += 1
        return super().forward(block, **how)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, None),
        ({"exclude": same(LABELS) & ~paired()}, None),
        ({"exclude": dense(torch.eye(N).flip(0) > 0)}, "a given matrix is read from memory"),
        ({"negatives": torch.ones(5, D)}, f"{N + 5} keys"),
    ],
)
def test_the_first_kernel_that_supports_a_block_computes_it_and_others_say_why_not(given, reason, monkeypatch, caplog):
    kernel = OnlySmall()
    monkeypatch.setattr(choice, "KERNELS", [kernel, *choice.KERNELS])
    with caplog.at_level("DEBUG", logger="tellapart"):
        info_nce(vectors(1), vectors(2), symmetric=True, engine="tiled", **given).backward()
    assert (kernel.n_blocks == 1) == (reason is None)
    assert (reason or "") in caplog.text


def test_a_block_that_no_kernel_supports_is_refused_with_the_reasons(monkeypatch):
    monkeypatch.setattr(choice, "KERNELS", [OnlySmall()])
    with pytest.raises(TypeError, match=rf"No kernel computes these scores\. only_small: {N + 5} keys\."):
        info_nce(vectors(1), vectors(2), negatives=torch.ones(5, D), engine="tiled")


def test_candidates_name_what_of_their_mask_has_no_lowered_form():
    mask = dense(torch.ones(2, 2))
    assert Candidates(2, 2, 2).only(paired()).not_lowered() == []
    assert "given matrix" in Candidates(2, 2, 2).only(~mask & paired()).not_lowered()[0]


def test_in_inference_mode_threads_write_to_what_the_caller_made():
    with torch.inference_mode(), threads(3), tiled(height=64, width=64):
        x = torch.randn(N, D)
        assert info_nce(x, x, engine="tiled").isfinite()
