"""Planted pairs for the benchmark of attention: keys of length 1, and queries that are noisy linear images of them.

    python benchmarks/attention_data.py planted.npz --stored 50000

A query is x = A (k + ε) with a hidden matrix A and ε of a length of about `noise`. The ideal decoder knows A and takes
the nearest key: this is the most probable one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Planted:
    """Keys, queries, and the hidden matrix."""

    keys: np.ndarray
    queries: np.ndarray
    hidden: np.ndarray

    @classmethod
    def draw(cls, n: int, dim: int, noise: float, seed: int) -> Planted:
        """n pairs in `dim` dimensions."""
        random = np.random.default_rng(seed)
        keys = random.normal(size=(n, dim))
        keys /= np.linalg.norm(keys, axis=1, keepdims=True)
        hidden = random.normal(size=(dim, dim)) / dim**0.5
        queries = (keys + noise * random.normal(size=(n, dim)) / dim**0.5) @ hidden
        return cls(keys.astype(np.float32), queries.astype(np.float32), hidden)

    def ideal(self) -> np.ndarray:
        """The queries as the ideal decoder sees them: without the hidden matrix, as long as keys are on average."""
        return (self.queries @ np.linalg.inv(self.hidden)).astype(np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--stored", type=int, default=50_000, help="pairs that are held out and stored")
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--noise", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    drawn = Planted.draw(2 * given.stored, given.dim, given.noise, given.seed)
    np.savez(given.output, queries=drawn.queries, keys=drawn.keys)
