"""What a report shows of a gallery: held-out pictures, or rows that cannot be seen, and what finds what among them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.data import text_id
from tellapart.data.gallery import MAX_SHOWN
from tellapart.relations import everyone, paired, same

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from tellapart.data.gallery import Gallery
    from tellapart.relations import Relation


@dataclass(frozen=True)
class Shown:
    """Pictures, what to call them, the cosines by which each query finds them, and who is whose counterpart.

    A query is a picture's text or, without texts, the picture, which looks for the others. In place of pictures there
    may be other things, without thumbnails.
    """

    kind: str
    """What a row is, as one calls it: a picture, a node."""
    which: str
    """Which rows these are, in the plural, as in "held-out pictures"."""
    captions: list[str]
    thumbnails: list[str] | None
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
        rows = _rows(gallery)
        pngs = None if gallery.thumbnails is None else [gallery.thumbnails[row] for row in rows]
        names, texts, labels = (
            None if column is None else [column[row] for row in rows]
            for column in (gallery.names, gallery.texts, gallery.labels)
        )
        pictures = gallery.pictures[rows]
        if texts is not None:
            # Equal pictures have equal PNG files.
            counterparts = same([text_id(text) for text in texts]) | (paired() if pngs is None else same(pngs))
            candidates = everyone()
        else:
            candidates = ~paired()
            # Those without a label have nothing in common.
            alike = None if labels is None else same([label or row for row, label in enumerate(labels)])
            counterparts = candidates & (paired() if alike is None else alike)
        queries = pictures if gallery.captions is None else gallery.captions[rows]
        held_out = bool(gallery.held_out[rows].all())
        return cls(
            kind=gallery.kind,
            which=f"{'held-out ' if held_out else ''}{gallery.kind}s",
            captions=texts or _captions(names or [], labels),
            thumbnails=None if pngs is None else [_as_source(png) for png in pngs if png is not None],
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


def _rows(gallery: Gallery) -> list[int]:
    """Those with a thumbnail; where nothing has one, so many drawn at random."""
    if gallery.thumbnails is not None:
        return [row for row, png in enumerate(gallery.thumbnails) if png is not None]
    return sorted(np.random.default_rng(0).permutation(len(gallery.names))[:MAX_SHOWN].tolist())


def _as_source(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _captions(names: list[str], labels: list[str] | None) -> list[str]:
    if labels is None:
        return names
    return [f"{label} · {name}" if label else name for label, name in zip(labels, names, strict=True)]


def _matrix(relation: Relation, rows: Tensor) -> Bool[np.ndarray, "n n"]:
    everything = slice(0, len(rows))
    return relation.tile(everything, everything, torch.device("cpu")).numpy()
