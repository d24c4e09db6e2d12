"""Random numbers that are a function of the step: what makes resuming exact."""

from __future__ import annotations

import numpy as np
import torch


def seed_step(seed: int, step: int, device: int) -> None:
    """Seed torch's generator for a step, counted from 0, of one of the devices or clients that train.

    >>> seed_step(0, 5, 0)
    >>> first = torch.rand(1)
    >>> seed_step(0, 5, 0)
    >>> bool(torch.rand(1) == first)
    True
    """
    sequence = np.random.SeedSequence([seed, step, device])
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
