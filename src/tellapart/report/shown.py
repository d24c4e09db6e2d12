"""What a report shows of a gallery: held-out items if there are any, and what finds what among them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.held_out import text_id
from tellapart.relations import everyone, paired, same

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from tellapart.relations import Relation
    from tellapart.runs import Gallery


@dataclass(frozen=True)
class Shown:
    """Items, what to call them, the cosines by which each query finds them, and who is whose counterpart.

    A query is an item's text or, without texts, the item, which looks for the others.
    """

    kind: str
    """What an item is, in one word."""
    which: str
    """Which items these are, in the plural, as in "held-out pictures"."""
    captions: list[str]
    """What to call the items: pictures by their texts, if they have any, and what cannot be seen by its name."""
    queries: list[str]
    """What to call the queries."""
    thumbnails: list[str] | None
    vectors: Float[np.ndarray, "n d"]
    cosines: Float[np.ndarray, "n n"]
    """Of item i and query j."""
    counterparts: Bool[np.ndarray, "n n"]
    candidates: Bool[np.ndarray, "n n"]
    """Whether item i can be found by query j."""
    by_text: bool
    labels: list[str] | None

    @classmethod
    def of(cls, gallery: Gallery) -> Shown:
        """What to show of a gallery."""
        rows = gallery.shown()
        pngs = None if gallery.thumbnails is None else [gallery.thumbnails[row] for row in rows]
        names, texts, labels = (
            None if column is None else [column[row] for row in rows]
            for column in (gallery.names, gallery.texts, gallery.labels)
        )
        vectors = gallery.vectors[rows]
        if texts is not None:
            # Equal pictures have equal PNG files.
            items = same([text_id(name) for name in names or []]) if pngs is None else same(pngs)
            counterparts = same([text_id(text) for text in texts]) | items
            candidates = everyone()
        else:
            candidates = ~paired()
            # Those without a label have nothing in common.
            alike = None if labels is None else same([label or row for row, label in enumerate(labels)])
            counterparts = candidates & (paired() if alike is None else alike)
        captions = texts if texts and pngs else _captions(names or [], labels)
        queries = vectors if gallery.captions is None else gallery.captions[rows]
        held_out = bool(gallery.held_out[rows].all())
        return cls(
            kind=gallery.kind,
            which=f"{'held-out ' if held_out else ''}{gallery.kind}s",
            captions=captions,
            queries=texts or captions,
            thumbnails=None if pngs is None else [_as_source(png) for png in pngs if png is not None],
            vectors=vectors.numpy(),
            cosines=(vectors @ queries.T).numpy(),
            counterparts=_matrix(counterparts, vectors),
            candidates=_matrix(candidates, vectors),
            by_text=texts is not None,
            labels=labels,
        )

    def ranks(self) -> np.ndarray:
        """At which place each item finds its own text."""
        best = np.where(self.counterparts, self.cosines, -np.inf).max(axis=1, keepdims=True)
        ranks: np.ndarray = 1 + ((self.cosines >= best) & ~self.counterparts).sum(axis=1)
        return ranks


def _as_source(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _captions(names: list[str], labels: list[str] | None) -> list[str]:
    if labels is None:
        return names
    return [f"{label} · {name}" if label else name for label, name in zip(labels, names, strict=True)]


def _matrix(relation: Relation, rows: Tensor) -> Bool[np.ndarray, "n n"]:
    everything = slice(0, len(rows))
    return relation.tile(everything, everything, torch.device("cpu")).numpy()
