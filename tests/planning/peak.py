"""How much memory tensors take at the worst moment of a computation."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Peak(TorchDispatchMode):
    """Of a `with` block: `most` is the largest number of bytes that tensors made inside held at one time."""

    def __init__(self):
        super().__init__()
        self.held, self.most, self.seen = 0, 0, weakref.WeakSet()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.update(storages((args, kwargs)))  # those from outside, of which a view may be made
        result = function(*args, **(kwargs or {}))
        for storage in storages(result):
            if storage not in self.seen:
                self.seen.add(storage)
                self._hold(storage.nbytes())
                weakref.finalize(storage, self._hold, -storage.nbytes())
        return result

    def _hold(self, n):
        self.held += n
        self.most = max(self.most, self.held)


def storages(values):
    """The places of all tensors among nested values."""
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, torch.Tensor)]
