"""A step with Triton's kernels reads no value on the host, for which it would wait: proved on a processor.

What would wait on a GPU is forbidden: reading numbers, and operations with results as large as values say.
"""

import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tellapart import LearnedTemperature, info_nce, nt_xent, options, paired, same, variants
from tests._engine.kernels.triton_here import needs_triton, vectors

N, D = 20, 12
IDS = torch.arange(N) % 6
WAITING = {
    *("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "bincount", "_unique2"),
    *("unique_dim", "unique_consecutive", "repeat_interleave", "histc"),
}
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


class NoWaiting(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        booleans = [x for x in tree_leaves(args[1:]) if isinstance(x, torch.Tensor) and x.dtype == torch.bool]
        if name in WAITING or (name in ("index", "index_put", "index_put_") and booleans):
            raise AssertionError(f"{name} waits for the device")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """No values are checked, as on a GPU, and tensors are read by no other way either."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tellapart"):
            for switch in ("values_are_checked", "at_hand"):
                if hasattr(module, switch):
                    monkeypatch.setattr(module, switch, lambda _: False)
    for method in ("tolist", "__bool__", "__float__", "__int__", "__index__"):
        monkeypatch.setattr(torch.Tensor, method, refused, raising=False)


def refused(*_):
    raise AssertionError("a value is read on the host")


@needs_triton
@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_waits_for_nothing(loss):
    learned = LearnedTemperature(0.1)
    others = [(torch.float32, learned), (torch.float32, lambda: 0.07)] if loss == "symmetric" else []
    with options(kernels="triton"):
        for dtype, tau in [(torch.bfloat16, learned), *others]:
            a, b = vectors(1, N, D, dtype), vectors(2, N, D, dtype)
            with NoWaiting():
                found = LOSSES[loss](a, b, tau())
                torch.autograd.grad(found, [a, *learned.parameters()], allow_unused=True)
