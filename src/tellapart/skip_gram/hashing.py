"""Random numbers that are a function of a seed and a place, so that it does not matter which thread draws them."""

from __future__ import annotations

import numpy as np
from numba import njit

STREAMS = 128
"""How many numbers can be drawn for a place."""

_U = np.uint64
_STEP = _U(0x9E3779B97F4A7C15)
LOW = _U(0xFFFFFFFF)
HALF = _U(32)


@njit(nogil=True, cache=True, inline="always")
def mix(x):
    """Scramble 64 bits (the finaliser of splitmix64, Steele et al. 2014)."""
    x = (x ^ (x >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> _U(27))) * _U(0x94D049BB133111EB)
    return x ^ (x >> _U(31))


@njit(nogil=True, cache=True, inline="always")
def draw(key, place, stream):
    """64 random bits for a place: the numbers of splitmix64 from `key`, in blocks of `STREAMS`."""
    return mix(key + (_U(place) * _U(STREAMS) + _U(stream)) * _STEP)


@njit(nogil=True, cache=True, inline="always")
def below(bits, n):
    """A number below n < 2³², from the upper 32 of random bits."""
    return ((bits >> HALF) * _U(n)) >> HALF
