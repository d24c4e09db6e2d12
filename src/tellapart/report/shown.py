"""What a report shows of a gallery: the held-out pictures that have a thumbnail, and what finds what among them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.data import text_id
from tellapart.relations import everyone, paired, same

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from tellapart.data.gallery import Gallery
    from tellapart.relations import Relation


@dataclass(frozen=True)
class Shown:
    """Pictures, what to call them, the cosines by which each query finds them, and who is whose counterpart.

    A query is a picture's text or, without texts, the picture, which looks for the others.
    """

    captions: list[str]
    thumbnails: list[str]
    pictures: Float[np.ndarray, "n d"]
    cosines: Float[np.ndarray, "n n"]
    """Of picture i and query j."""
    counterparts: Bool[np.ndarray, "n n"]
    candidates: Bool[np.ndarray, "n n"]
    """Whether picture i can be found by query j."""
    by_text: bool
    labels: list[str] | None

    @classmethod
    def of(cls, gallery: Gallery) -> Shown:
        """What to show of a gallery."""
        rows = [row for row, png in enumerate(gallery.thumbnails) if png is not None]
        pngs = [gallery.thumbnails[row] for row in rows]
        names, texts, labels = (
            None if column is None else [column[row] for row in rows]
            for column in (gallery.names, gallery.texts, gallery.labels)
        )
        pictures = gallery.pictures[rows]
        if texts is not None:
            # Equal pictures have equal PNG files.
            counterparts = same([text_id(text) for text in texts]) | same(pngs)
            candidates = everyone()
        else:
            candidates = ~paired()
            counterparts = candidates & (same(labels) if labels is not None else paired())
        queries = pictures if gallery.captions is None else gallery.captions[rows]
        return cls(
            captions=texts or _captions(names or [], labels),
            thumbnails=["data:image/png;base64," + base64.b64encode(png).decode() for png in pngs if png is not None],
            pictures=pictures.numpy(),
            cosines=(pictures @ queries.T).numpy(),
            counterparts=_matrix(counterparts, pictures),
            candidates=_matrix(candidates, pictures),
            by_text=texts is not None,
            labels=labels,
        )

    def ranks(self) -> np.ndarray:
        """At which place each picture finds its own text."""
        best = np.where(self.counterparts, self.cosines, -np.inf).max(axis=1, keepdims=True)
        ranks: np.ndarray = 1 + ((self.cosines >= best) & ~self.counterparts).sum(axis=1)
        return ranks


def _captions(names: list[str], labels: list[str] | None) -> list[str]:
    return names if labels is None else [f"{label} · {name}" for label, name in zip(labels, names, strict=True)]


def _matrix(relation: Relation, rows: Tensor) -> Bool[np.ndarray, "n n"]:
    everything = slice(0, len(rows))
    return relation.tile(everything, everything, torch.device("cpu")).numpy()
