"""Where a step's time goes: systems and loaders say which part they are in, the log says how long it took."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_spent: dict[str, float] = defaultdict(float)


@contextmanager
def timed(part: str, *, alone: bool = False) -> Iterator[None]:
    """Count the seconds of the block to `part` of the running step; an accelerator's work is waited for.

    With `alone` they count to no other part, whatever parts the block says it is in.

    >>> _ = spent()  # what was counted before
    >>> with timed("views"):
    ...     made = sum(range(1000))
    >>> sorted(spent()), spent()
    (['views'], {})
    """
    _finish_queued_work()
    started, before = time.perf_counter(), dict(_spent)
    try:
        yield
    finally:
        _finish_queued_work()
        if alone:
            _spent.clear()
            _spent.update(before)
        _spent[part] += time.perf_counter() - started


def spent() -> dict[str, float]:
    """Seconds of each part since this was last asked."""
    seconds = dict(_spent)
    _spent.clear()
    return seconds


def _finish_queued_work() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
