"""What a host would have to wait for if tensors were on a GPU: forbidden here, on a processor.

That is reading numbers, and operations with results as large as values say.
"""

import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITING = {
    *("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "bincount", "_unique2"),
    *("unique_dim", "unique_consecutive", "repeat_interleave", "histc"),
}


class NoWaiting(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        booleans = [x for x in tree_leaves(args[1:]) if isinstance(x, torch.Tensor) and x.dtype == torch.bool]
        if name in WAITING or (name in ("index", "index_put", "index_put_") and booleans):
            raise AssertionError(f"{name} waits for the device")
        return func(*args, **(kwargs or {}))


def as_on_a_gpu(monkeypatch, *, reading=False):
    """No values are checked, as on a GPU; unless `reading`, tensors are read by no way that the mode does not see."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tellapart"):
            for switch in ("values_are_checked", "at_hand"):
                if hasattr(module, switch):
                    monkeypatch.setattr(module, switch, lambda _: False)
    for method in () if reading else ("tolist", "__bool__", "__float__", "__int__", "__index__"):
        monkeypatch.setattr(torch.Tensor, method, refused, raising=False)


def refused(*_):
    raise AssertionError("a value is read on the host")
