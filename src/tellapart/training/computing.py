"""How PyTorch computes while a training lasts: compiled or not, with the same bits each time or not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tellapart.temperature import LearnedTemperature


@contextmanager
def compiled_parts(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Compile what the model is made of, such as its encoders, for the calls inside the `with` block.

    The parts stay the same modules, with weights of the same names.
    """
    parts = [part for part in model.children() if any(True for _ in part.parameters())] if wanted else []
    parts = [part for part in parts if not isinstance(part, LearnedTemperature)]
    for part in parts:
        part._compiled_call_impl = torch.compile(_call_of(part))
    try:
        yield
    finally:
        for part in parts:
            part._compiled_call_impl = None


def _call_of(part: nn.Module) -> Callable[..., Any]:
    """The call in a frame of its own: of PyTorch's own modules the compiler leaves out the outermost."""
    return lambda *args, **kwargs: part._call_impl(*args, **kwargs)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Let PyTorch take deterministic operations alone inside the `with` block, and fail where it has none.

    >>> with deterministic(True):
    ...     torch.are_deterministic_algorithms_enabled()
    True
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if wanted:
        # cuBLAS reads it when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
