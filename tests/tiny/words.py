"""Words to test with, small and made up, and options of training that are as small."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WORD_OPTIONS = {
    "dim": 20,
    "epochs": 5,
    "batch_size": 500,
    "negatives": 4,
    "window": 3,
    "min_count": 3,
    "sample": 0.0,
    "held_out": 0.1,
    "learning_rate": 0.1,
    "threads": 2,
}
SUBWORD_OPTIONS = WORD_OPTIONS | {"objective": "infonce", "subwords": 4, "buckets": 500, "learning_rate": 0.03}
WORD_WRONG = (
    ("negatives", 0),
    ("negatives", 101),
    ("dim", 0),
    ("window", 0),
    ("min_count", 0),
    ("sample", 1.5),
    ("learning_rate", 2.0),
    ("weight_decay", 0.1),
    ("phrases", -1),
    ("phrase_threshold", 0.0),
    ("subwords", 2),
    ("buckets", 0),
    ("threads", 0),
)


def write_words(folder: Path, n: int = 600, seed: int = 0) -> Path:
    """Sentences about cats and about taxes, of words that do not meet."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    topics = [[f"{topic}{i}" for i in range(12)] for topic in ("cat", "tax")]
    lines = [" ".join(random.choice(topics[random.integers(2)], 6)) for _ in range(n)]
    (folder / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "text.txt"
