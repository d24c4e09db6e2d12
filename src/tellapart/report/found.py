"""What every item shown finds, as data for the page, which searches them by their captions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tellapart.report.shown import Shown

_AT_FIRST, _BEST, _LETTERS = 9, 5, 90


def found(shown: Shown) -> dict[str, Any]:
    """The captions, the best hits of every query, and the few random queries that the page begins with.

    A hit is the row of an item, its cosine as text, and 1 if it is a right answer or else 0.
    """
    cosines = np.where(shown.candidates, shown.cosines, -np.inf)
    best = np.argsort(-cosines, axis=0, kind="stable")[:_BEST].T
    hits = [
        [
            [row, f"{shown.cosines[row, query]:.2f}", int(shown.positives[row, query])]
            for row in rows.tolist()
            if shown.candidates[row, query]
        ]
        for query, rows in enumerate(best)
    ]
    chosen = np.sort(np.random.default_rng(0).permutation(len(hits))[:_AT_FIRST])
    captions, queries = ([_cut(text) for text in texts] for texts in (shown.captions, shown.queries))
    return {
        "captions": captions,
        "queries": None if queries == captions else queries,
        "hits": hits,
        "chosen": chosen.tolist(),
        "byText": shown.by_text,
    }


def _cut(text: str) -> str:
    """A text, of which the page shows the beginning if it is long.

    >>> len(_cut("ab" * 100))
    90
    """
    return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"
