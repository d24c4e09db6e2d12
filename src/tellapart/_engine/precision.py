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

    is_on = torch.is_autocast_enabled

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        if is_on("cpu") or is_on("cuda"):
            with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
                return function(*args, **kwargs)
        return function(*args, **kwargs)

    return inside
