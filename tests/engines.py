"""The engines under test, the tiled one with tiles so small that small problems have many."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

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
