"""The loss is computed in float32 at least, whatever autocast says."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Switch autocast off inside `function`.

    >>> with torch.autocast("cpu", dtype=torch.bfloat16):
    ...     full_precision(torch.mm)(torch.eye(2), torch.eye(2)).dtype
    torch.float32
    """

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        for kind in _KINDS:
            if torch.is_autocast_enabled(kind):
                with torch.autocast(kind, enabled=False):
                    return inside(*args, **kwargs)
        return function(*args, **kwargs)

    return inside


_KINDS = ("cpu", "cuda")
