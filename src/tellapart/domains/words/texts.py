"""Whole texts by the vectors of their words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tellapart.domains.words.reading import Block
from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float32

    from tellapart.domains.words.network import WordVectors


def mean_vectors(model: WordVectors, texts: Sequence[str]) -> Float32[np.ndarray, "n d"]:
    """The mean of the vectors of each text's words, at length 1; zero for a text without a word that has a vector.

    Words are cut as in training. Phrases are found only where the text joins them, as in new_york.
    """
    made = np.zeros((len(texts), model.options.dim), np.float32)
    for row, text in enumerate(texts):
        known = [word for word in _words(model, text) if model.knows(word)]
        if known:
            mean = model.of(known).mean(dim=0)
            made[row] = mean / mean.norm().clamp(min=1e-30)
    return made


def true_word_first(model: WordVectors, texts: Sequence[str]) -> float:
    """How often the true word of a window is told from one drawn from the noise, in texts, each by itself.

    Raises:
        InputError: fewer than two words of the texts are in the vocabulary.
    """
    ids: list[int] = []
    for text in texts:
        found = [model.vocabulary.index(word) for word in _words(model, text)]
        ids += [*(number for number in found if number is not None), -1]
    if len(ids) - len(texts) < 2:
        raise InputError("`X` must have two words at least that are in the vocabulary.")
    return float(model.kernel().measure(np.array(ids, np.int32), model.options.seed).accuracy)


def _words(model: WordVectors, text: str) -> list[str]:
    block = Block(Path("text"), text.encode("utf-8", "replace"), 1, is_last=True)
    words: list[str] = model.options.tokens().cut(block).words.to_pylist() if text.strip() else []
    return words
