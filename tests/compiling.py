"""The first run of a clone: one worker compiles the tests, and the others load what it wrote."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).parent


@contextmanager
def alone_in_a_fresh_clone() -> Iterator[None]:
    """Keep other workers waiting inside, if no test file has been compiled yet and compiled files can be kept."""
    cache = _HERE / "__pycache__"
    if "PYTEST_XDIST_WORKER" not in os.environ or not cache.is_dir() or any(_HERE.glob("*/__pycache__/test_*.pyc")):
        yield
        return
    with (cache / "first.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
