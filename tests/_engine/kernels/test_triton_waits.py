"""A step with Triton's kernels reads no value on the host, for which it would wait: proved on a processor."""

import pytest
import torch

from tellapart import LearnedTemperature, info_nce, nt_xent, options, paired, same, variants
from tests._engine.kernels.triton_here import needs_triton, vectors
from tests.waiting import NoWaiting, as_on_a_gpu

N, D = 20, 12
IDS = torch.arange(N) % 6
LOSSES = {
    "symmetric": lambda a, b, tau: info_nce(a, b, temperature=tau, symmetric=True, engine="tiled"),
    "captions": lambda a, b, tau: info_nce(
        a, b, temperature=tau, exclude=same(IDS // 2) & ~paired(), symmetric=True, engine="tiled"
    ),
    "NT-Xent": lambda a, b, tau: nt_xent(a, b, temperature=tau, engine="tiled"),
    "queue": lambda a, b, tau: info_nce(a, b, temperature=tau, negatives=b.detach().flip(0), engine="tiled"),
    "labels": lambda a, _, tau: variants.sup_con(a, IDS, temperature=tau, engine="tiled"),
    "small": lambda a, b, tau: info_nce(a, b, temperature=tau, symmetric=True),
}


@needs_triton
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_waits_for_nothing(loss, monkeypatch):
    as_on_a_gpu(monkeypatch)
    learned = LearnedTemperature(0.1)
    others = [(torch.float32, learned), (torch.float32, lambda: 0.07)] if loss == "symmetric" else []
    with options(kernels="triton"):
        for dtype, tau in [(torch.bfloat16, learned), *others]:
            a, b = vectors(1, N, D, dtype), vectors(2, N, D, dtype)
            with NoWaiting():
                found = LOSSES[loss](a, b, tau())
                torch.autograd.grad(found, [a, *learned.parameters()], allow_unused=True)
