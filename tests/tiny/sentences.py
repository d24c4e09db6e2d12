"""Translations to test with, small and made up, and options of training that are as small."""

from __future__ import annotations

from pathlib import Path

import numpy as np

# Small and quick options of the bilingual system, for `write_translations`.
SENTENCE_OPTIONS = {"dim": 16, "buckets": 512, "epochs": 6, "batch_size": 24, "held_out": 0.25, "learning_rate": 0.03}
TRANSFORMER_OPTIONS = SENTENCE_OPTIONS | {
    "encoder": "transformer",
    "layers": 1,
    "vocabulary": 120,
    "longest": 12,
    "reading": 16,
    "epochs": 3,
    "learning_rate": 0.003,
}

SENTENCE_WRONG = (
    ("pairs", 1),
    ("pairs", -1),
    ("dropout", 1.0),
    ("temperature", 0.001),
    ("margin", -0.1),
    ("masked_weight", -1.0),
    ("buckets", 0),
    ("vocabulary", 1),
    ("longest", 1),
    ("reading", 0),
    ("layers", 0),
)


def translations(n: int = 120, seed: int = 0) -> list[tuple[str, str, str]]:
    """Sentences of 5 made-up words, word by word in another made-up language, and pages of 4 pairs each."""
    random = np.random.default_rng(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    words = [["".join(random.choice(syllables, 2)) for _ in range(40)] for _ in range(2)]
    chosen = random.integers(0, 40, (n, 5))
    sides = ([" ".join(words[side][i] for i in row) for row in chosen] for side in range(2))
    return [(*pair, f"page {i // 4}") for i, pair in enumerate(zip(*sides, strict=True))]


def write_translations(folder: Path, n: int = 120, seed: int = 0) -> Path:
    """A table of `translations`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join("\t".join(row) + "\n" for row in translations(n, seed))
    (folder / "pairs.tsv").write_text(text, encoding="utf-8")
    return folder / "pairs.tsv"


def sentence_arguments(encoder: str = "bag", **options: object) -> list[str]:
    """The bilingual system's tiny options as words of a command line."""
    chosen = SENTENCE_OPTIONS if encoder == "bag" else TRANSFORMER_OPTIONS
    return [f"--{name}={value}" for name, value in (chosen | options).items()]
