"""Paired arrays to test with, small and made up, and options of training that are as small."""

from pathlib import Path

import numpy as np

MEMORY_OPTIONS = {
    "encoder": "linear",
    "dim": 8,
    "batch_size": 64,
    "epochs": 20,
    "learning_rate": 0.02,
}
MEMORY_WRONG = (
    ("width", 0),
    ("channels", 0),
    ("dim", 0),
    ("dropout", 1.0),
    ("dropout", -0.1),
    ("temperature", 0.0),
)


def planted(n: int = 400, d: int = 8, noise: float = 0.2, seed: int = 0) -> dict[str, np.ndarray]:
    """Keys of length 1, and queries that are the keys, turned and stretched, with noise."""
    random = np.random.default_rng(seed)
    keys = random.normal(size=(n, d))
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    hidden = random.normal(size=(d, d))
    return {"queries": keys @ hidden + noise * random.normal(size=(n, d)) / d**0.5, "keys": keys}


def write_planted(folder: Path, **options: float) -> Path:
    """Planted pairs in an .npz."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "pairs.npz", **planted(**options))
    return folder / "pairs.npz"
