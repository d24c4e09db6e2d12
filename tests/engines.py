"""The engines under test, the tiled one with tiles so small that small problems have many."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import tellapart
from tellapart._engine import stream

ENGINES = ("dense", "tiled", "tiled, keeping one tile", "tiled, keeping none")
_BYTES = {"tiled": 2**30, "tiled, keeping one tile": 50, "tiled, keeping none": 0}


@contextmanager
def playing(engine: str) -> Iterator[str]:
    """Inside, `info_nce(..., engine=...)` with the name this yields runs that variant."""
    tiny = patch.multiple(stream, _AREA={"cpu": 6}, _HEIGHT=2, _LONG=0)
    with tiny, tellapart.options(memory_budget=_BYTES.get(engine)):
        yield engine.split(",")[0]
