"""The engines under test, the tiled one with tiles so small that small problems have many."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import tellapart
from tellapart._engine.kernels.grid import tiled

ENGINES = ("dense", "tiled", "tiled, keeping one tile", "tiled, keeping none")
_BYTES = {"tiled": 2**30, "tiled, keeping one tile": 50, "tiled, keeping none": 0}


@contextmanager
def playing(engine: str) -> Iterator[str]:
    """Inside, `info_nce(..., engine=...)` with the name this yields runs that variant."""
    tiny = tiled(height=2, width=3, least_height=1, band_height=2, keep_from=0)
    with tiny, tellapart.options(memory_budget=_BYTES.get(engine)):
        yield engine.split(",")[0]


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Inside, torch has that many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Largest(TorchDispatchMode):
    """Remembers the most elements that any operation inside returned."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [x.untyped_storage().size() // x.element_size() for x in tree_leaves(result) if torch.is_tensor(x)]
        self.numel = max([self.numel, *sizes])
        return result
