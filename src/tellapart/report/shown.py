"""The part of a gallery that a report shows: held-out items, if there are any, and the search among them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.held_out import text_id
from tellapart.relations import everyone, paired, same
from tellapart.report.verdict import plural

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from tellapart.relations import Relation
    from tellapart.runs import Gallery


@dataclass(frozen=True)
class Shown:
    """Items and queries with their captions, their cosines, and the positive pairs among them.

    A query is an item's text. Without texts it is an item, and its candidates are the other items.
    """

    kind: str
    """The kind of items, in one word."""
    which: str
    """The items in the plural, as in "held-out pictures"."""
    captions: list[str]
    """Captions of the items: the texts of pictures, if there are any, or else names and labels."""
    queries: list[str]
    """Captions of the queries."""
    thumbnails: list[bytes] | None
    """PNG files."""
    vectors: Float[np.ndarray, "n d"]
    cosines: Float[np.ndarray, "n n"]
    """The cosine of item i and query j."""
    positives: Bool[np.ndarray, "n n"]
    """Whether item i is a right answer to query j."""
    candidates: Bool[np.ndarray, "n n"]
    """Whether item i is searched by query j."""
    by_text: bool
    labels: list[str] | None
    ranked: bool = False
    """Whether the first items matter most."""
    asked: str = "text"
    """The kind of the queries, in one word."""

    @classmethod
    def of(cls, gallery: Gallery) -> Shown:
        """The part of a gallery to show."""
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
            positives = same([text_id(text) for text in texts]) | items
            candidates = everyone()
        else:
            candidates = ~paired()
            # Items without a label are not related.
            alike = None if labels is None else same([label or row for row, label in enumerate(labels)])
            positives = candidates & (paired() if alike is None else alike)
        captions = texts if texts and pngs else _captions(names or [], labels)
        queries = vectors if gallery.captions is None else gallery.captions[rows]
        held_out = bool(gallery.held_out[rows].all())
        return cls(
            kind=gallery.kind,
            which=f"{'held-out ' if held_out else ''}{plural(gallery.kind)}",
            captions=captions,
            queries=texts or captions,
            thumbnails=None if pngs is None else [png for png in pngs if png is not None],
            vectors=vectors.numpy(),
            cosines=(vectors @ queries.T).numpy(),
            positives=_matrix(positives, vectors),
            candidates=_matrix(candidates, vectors),
            by_text=texts is not None,
            labels=labels,
            ranked=gallery.ranked,
            asked=gallery.asked,
        )

    def ranks(self) -> np.ndarray:
        """The rank at which each item finds its own text."""
        best = np.where(self.positives, self.cosines, -np.inf).max(axis=1, keepdims=True)
        ranks: np.ndarray = 1 + ((self.cosines >= best) & ~self.positives).sum(axis=1)
        return ranks


def _captions(names: list[str], labels: list[str] | None) -> list[str]:
    if labels is None:
        return names
    return [_caption(name, label) for name, label in zip(names, labels, strict=True)]


def _caption(name: str, label: str) -> str:
    """A label and a name, without saying the label twice.

    >>> _caption("train/frog/7.png", "frog"), _caption("brick.png@8,8", "brick.png"), _caption("read 3", "")
    ('frog · train/7.png', 'brick.png@8,8', 'read 3')
    """
    if not label or (not label.isdigit() and re.match(rf"{re.escape(label)}\b", name)):
        return name
    path = PurePosixPath(name)
    if label in path.parent.parts:
        name = "/".join((*(part for part in path.parent.parts if part != label), path.name))
    return f"{label} · {name}"


def _matrix(relation: Relation, rows: Tensor) -> Bool[np.ndarray, "n n"]:
    whole = slice(0, len(rows))
    return relation.tile(whole, whole, torch.device("cpu")).numpy()
