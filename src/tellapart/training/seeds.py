"""Random numbers that are a function of the step: what makes resuming exact."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch


def seed_step(seed: int, step: int, device: int) -> None:
    """Seed torch's generators for a step, counted from 0, of one of the devices or clients that train.

    >>> seed_step(0, 5, 0)
    >>> first = torch.rand(1)
    >>> seed_step(0, 5, 0)
    >>> bool(torch.rand(1) == first)
    True
    """
    sequence = np.random.SeedSequence([seed, step, device])
    number = int(sequence.generate_state(1, np.uint64)[0])
    # As `torch.manual_seed`, which also notes a stack trace for each kind of device that this machine lacks.
    torch.default_generator.manual_seed(number)
    for seed_all in _of_accelerators():
        seed_all(number)


@cache
def _of_accelerators() -> tuple[Callable[[int], None], ...]:
    """What seeds the generators of the accelerators that this machine has."""
    known = ((torch.cuda, torch.cuda.manual_seed_all), (torch.xpu, torch.xpu.manual_seed_all))
    found = tuple(seed_all for module, seed_all in known if module.is_available())
    return (*found, torch.mps.manual_seed) if torch.backends.mps.is_available() else found
