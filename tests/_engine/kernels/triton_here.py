"""What the tests of Triton's kernels share: a skip where it is missing, blocks, and the loss in float64."""

import pytest
import torch

from tellapart import info_nce, options
from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels import triton_tiles
from tellapart._engine.kernels.grid import tiling
from tellapart._engine.kernels.interface import Block

REASON = triton_tiles.TritonTiles().supports(
    Block(torch.ones(1, 1), torch.ones(1, 1), 1.0, Candidates(1, 1, 1), "exp", tiling())
)
needs_triton = pytest.mark.skipif(REASON is not None, reason=REASON or "")


def vectors(seed, n, d, dtype=torch.float32):
    made = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.to(dtype).requires_grad_()


def with_gradients(kernels, queries, keys, **given):
    """A loss of the streamed engine, and its gradients, in float64; with `kernels="exact"` of the whole matrix."""
    engine = "tiled"
    if kernels == "exact":
        kernels, engine = "torch", "dense"
        queries, keys = (x.detach().double().requires_grad_() for x in (queries, keys))
    with options(kernels=kernels):
        loss = given.pop("loss", info_nce)(queries, keys, engine=engine, **given)
    found = torch.autograd.grad(loss, (queries, keys))
    return [x.detach().double() for x in (loss, *found)]


def apart(found, expected):
    """The largest distance of a value or a gradient from the expected one, as a part of its length."""
    pairs = zip(found, expected, strict=True)
    return max(((x - y).norm() / (y.norm() + 1e-12)).item() for x, y in pairs)
