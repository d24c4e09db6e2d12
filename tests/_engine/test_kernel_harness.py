"""Every kernel against whole matrices in float64: its sums and maxima, its gradients, and what it fuses."""

from itertools import product

import pytest
import torch

from tellapart import dense, gaussian, paired, same
from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels.grid import tiled, tiling
from tellapart._engine.kernels.interface import Block, FusedRequest
from tests.harness import DEVICES, KERNELS

SHAPES = {
    "keys alone": Candidates(13, 17, 17),
    "fewer keys, and negatives behind them": Candidates(13, 7, 12),
    "mirrored": Candidates(13, 13, 13, mirrored=True),
}
CHECKERED = (torch.arange(17)[:, None] + torch.arange(17)) % 3 > 0
# All are symmetric where there are as many keys as queries.
MASKS = {
    "all": lambda c, _: c,
    "pairs left out": lambda c, _: c.without(paired().pairs(c.n, c.m)),
    "a relation and pairs": lambda c, ids: c.only(~same(*ids)).without(paired().pairs(c.n, c.m)),
    "weights": lambda c, ids: c.only(gaussian(*ids, 2.0)),
    "a given matrix": lambda c, _: c.only(dense(CHECKERED[: c.n, : c.m])),
    "rows without candidates": lambda c, ids: c.only(same(*ids) & ~same(ids[0] * 0, ids[1])),
}
TILINGS = {
    "one tile": {},
    "many tiles": {"height": 4, "width": 3, "least_height": 1, "band_height": 4},
    "low tiles": {"height": 1, "width": 30, "least_height": 1, "band_height": 1},
}
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3}
everywhere = pytest.mark.parametrize("device", DEVICES)
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
# Triton's tiles have sizes of their own, and none is kept.
OWN_TILES = "triton_tiles"
with_every_tiling = pytest.mark.parametrize(
    ("kernel", "sizes"),
    [
        pytest.param(kernel, sizes, id=f"{kernel.name}-{sizes}")
        for kernel in KERNELS
        for sizes in TILINGS
        if kernel.name != OWN_TILES or sizes == "one tile"
    ],
)


def blocks(kernel, device, forms):
    """The blocks that a kernel supports, of all shapes, masks and forms, with and without positives."""
    for shape, mask, form, dtype in product(SHAPES, MASKS, forms, TOLERANCES):
        n, m, c, *_ = SHAPES[shape]
        ids = torch.arange(n) % 4, torch.arange(m) % 4
        generator = torch.Generator().manual_seed(0)
        length = 12 if form == "logits" else 1  # whose exponentials overflow in float32
        queries, keys = (length * torch.randn(rows, 5, generator=generator).to(device, dtype) for rows in (n, c))
        if shape == "mirrored":
            keys = queries
        candidates = MASKS[mask](SHAPES[shape], ids)
        for positives in (None, same(*ids)):
            block = Block(queries, keys, 0.7, candidates, form, tiling(), positives)
            reason = kernel.supports(block)
            assert reason is None or reason
            if reason is None and not (form == "softplus" and positives is not None):
                yield block


class Whole:
    """The whole matrix of a block in float64, with autograd."""

    def __init__(self, block):
        n, m, c, left_out, among, _ = block.candidates
        self.queries, self.keys = (x.detach().double().cpu().requires_grad_() for x in (block.queries, block.keys))
        weights = torch.ones(n, c, dtype=torch.float64)
        if among is not None:
            weights[:, :m] = among.tile(slice(0, n), slice(0, m)).double()
        for pairs in left_out:
            weights[pairs.rows, pairs.cols] = 0
        self.scores = block.scale * self.queries @ self.keys.T
        self.logits, self.m = self.scores + weights.log(), m
        if block.form == "softplus":
            self.rows = self.logits.exp().log1p().sum(1)
        else:
            self.rows, self.cols = log_sum(self.logits), log_sum(self.logits[:, :m].T)

    def maxima(self, positives):
        """Of rows and of keys: the largest logit of positives, masked or not, and of candidates that are none."""
        n, m = len(self.scores), self.m
        is_positive = torch.zeros_like(self.scores, dtype=torch.bool)
        is_positive[:, :m] = positives.tile(slice(0, n), slice(0, m)) > 0
        of_positives = self.scores.masked_fill(~is_positive, -torch.inf)
        of_negatives = self.logits.masked_fill(is_positive, -torch.inf)
        kinds = of_positives, of_negatives
        return torch.stack([x.amax(1) for x in kinds], 1), torch.stack([x[:, :m].amax(0) for x in kinds], 1)

    def gradients(self, *weighted):
        """By queries and keys, of the sum of the products of sums and weights."""
        total = sum((torch.where(sums.isfinite(), sums, 0) * weights).sum() for sums, weights in weighted)
        return torch.autograd.grad(total, (self.queries, self.keys), retain_graph=True)


def log_sum(logits):
    """Logsumexp of each row with a gradient of 0, not NaN, where nothing is added."""
    is_empty = (logits == -torch.inf).all(1)
    return torch.where(is_empty, -torch.inf, logits.masked_fill(is_empty[:, None], 0).logsumexp(1))


def agree(found, expected):
    tolerance = TOLERANCES[found.dtype]
    finite = expected[expected.isfinite()].abs()
    size = max(1.0, finite.max().item() if len(finite) else 0)
    torch.testing.assert_close(found.double().cpu(), expected.detach(), rtol=0, atol=tolerance * size)


def given(n, seed, like):
    """Upstream gradients, one of which is 0."""
    weights = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weights[0] = 0
    return weights, weights.to(like)


@with_every_tiling
@everywhere
def test_sums_and_maxima_are_those_of_the_whole_matrix(kernel, sizes, device):
    with tiled(**TILINGS[sizes]):
        for block in blocks(kernel, device, ("exp", "logits", "softplus")):
            whole, columns = Whole(block), block.form != "softplus"
            found = kernel.forward(block, columns=columns, keep=0)
            agree(found.rows.value(torch.zeros_like(found.rows.total)), whole.rows)
            if block.candidates.mirrored or not columns:
                assert found.cols is None
            else:
                agree(found.cols.value(torch.zeros_like(found.cols.total)), whole.cols)
            if block.positives is not None:
                rows, cols = whole.maxima(block.positives)
                agree(found.row_maxima, rows)
                if found.cols is not None:
                    agree(found.col_maxima, cols)


@with_every_tiling
@everywhere
@pytest.mark.parametrize("keep", [0, 30, 10**6])
def test_gradients_are_those_of_the_whole_matrix_whatever_is_kept(kernel, sizes, device, keep):
    if kernel.name == OWN_TILES and keep:
        pytest.skip("keeps no tile")
    with tiled(**TILINGS[sizes]):
        for block in blocks(kernel, device, ("exp", "logits") if keep else ("exp", "logits", "softplus")):
            if block.positives is not None:
                continue
            for columns in {False, block.form != "softplus" and not block.candidates.mirrored}:
                whole = Whole(block)
                sums = kernel.forward(block, columns=columns, keep=keep)
                assert sum(tile.numel() for tile in sums.kept.values()) <= keep
                exact, weights = given(block.candidates.n, 1, block.queries)
                pairs, of_cols = [(whole.rows, exact)], None
                if columns:
                    exact, of_keys = given(block.candidates.m, 2, block.queries)
                    pairs.append((whole.cols, exact))
                    of_cols = sums.cols.logit_grad(of_keys)
                # What is there already is added to.
                into = torch.ones_like(block.queries), torch.ones_like(block.keys)
                kernel.backward(block, dict(sums.kept), sums.rows.logit_grad(weights), of_cols, into)
                found, expected = [x - 1 for x in into], whole.gradients(*pairs)
                if block.candidates.mirrored:
                    # Queries and keys are the same vectors: how their gradient is divided is the kernel's affair.
                    found, expected = [sum(found)], [sum(expected)]
                for one, other in zip(found, expected, strict=True):
                    agree(one, other)


@with_every_tiling
@everywhere
@pytest.mark.parametrize("with_rest", [False, True])
def test_what_is_fused_is_the_sum_and_its_gradient(kernel, sizes, device, with_rest):
    with tiled(**TILINGS[sizes]):
        for block in blocks(kernel, device, ("exp", "logits")):
            if not kernel.fuses(block):
                continue
            whole = Whole(block)
            exact, reference = given(block.candidates.n, 3, block.queries)
            rest, share = None, torch.ones(block.candidates.n, dtype=torch.float64)
            if with_rest:
                exact_rest, rest = given(block.candidates.n, 4, block.queries)
                exact_rest[1], rest[1] = torch.inf, torch.inf  # a row that is not in the sum
                share = (whole.rows - exact - exact_rest).sigmoid().detach()
            found = kernel.fused(block, FusedRequest(reference, rest, True, True))
            agree(found.log_z, whole.rows - exact)
            agree(found.rows.value(torch.zeros_like(reference)), whole.rows)
            agree(found.queries_grad, whole.gradients((whole.rows, 1))[0])
            agree(found.keys_grad, whole.gradients((whole.rows, share))[1])
            if block.positives is not None:
                agree(found.row_maxima, whole.maxima(block.positives)[0])


@every_kernel
def test_every_kernel_has_a_name_and_computes_something_where_its_device_is(kernel):
    assert kernel.name
    assert [other.name for other in KERNELS].count(kernel.name) == 1
    for device in DEVICES:
        if next(blocks(kernel, device, ("exp",)), None) is not None:
            return
    pytest.skip(f"{kernel.name} supports no block on {' or '.join(DEVICES)}")


@everywhere
def test_every_block_has_a_kernel(device):
    for block in blocks(KERNELS[-1], device, ("exp", "logits", "softplus")):
        assert any(kernel.supports(block) is None for kernel in KERNELS)
