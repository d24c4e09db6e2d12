"""A baseline without learning: TF-IDF of the character n-grams that sentences share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def character_tfidf(first: Sequence[str], second: Sequence[str]) -> tuple[Any, Any]:
    """Unit TF-IDF vectors of two lists of sentences, as sparse arrays, of character n-grams (2 to 5) within words.

    Document frequencies are those in both lists together.

    >>> first, second = character_tfidf(["the parliament"], ["le parlement", "le chat"])
    >>> (first @ second.T).toarray().argmax().item()
    0
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, dtype=np.float32)
    both = vectorizer.fit_transform([*first, *second]).tocsr()
    return both[: len(first)], both[len(first) :]
