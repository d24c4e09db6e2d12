"""The chart of the clocks' difference: a known error is seen, and a wrong clock shows."""

import numpy as np
import pytest
import torch

from tellapart.domains.sound.clock import Clock
from tellapart.domains.sound.posterior import posterior_chart


def chart(offset, sigma=0.5):
    """Of 300 events whose embeddings tell 20 kinds apart; the sounds' clock is off by N(0, 0.5²) and an offset."""
    random = np.random.default_rng(0)
    times, kinds = np.cumsum(random.exponential(size=300)), random.integers(20, size=300)
    heard = torch.from_numpy(times + offset + 0.5 * random.normal(size=300))
    similarities = 5 * torch.from_numpy(kinds[:, None] == kinds).float()
    return posterior_chart(Clock(0.0, sigma, 1, (0.0, 300.0)), similarities, heard, torch.from_numpy(times))


def moments(found, name):
    x, y = np.array(found.x), np.array(found.lines[name])
    width = x[1] - x[0]
    mean = (x * y).sum() * width
    return y.sum() * width, mean, np.sqrt(((x - mean) ** 2 * y).sum() * width)


def test_the_posterior_of_a_right_clock_is_the_clock():
    found = chart(0.0)
    for name in ("posterior", "the clock"):
        total, mean, deviation = moments(found, name)
        assert (total, mean, deviation) == (
            pytest.approx(1, rel=1e-3),
            pytest.approx(0, abs=0.05),
            pytest.approx(0.5, rel=0.1),
        )


def test_embeddings_alone_show_an_offset_that_the_clock_does_not_know():
    found = chart(2.0, sigma=1.0)
    top = found.x[int(np.argmax(found.lines["embeddings alone"]))]
    assert top == pytest.approx(2.0, abs=0.4)
    assert moments(found, "the clock")[1] == pytest.approx(0, abs=1e-6)
