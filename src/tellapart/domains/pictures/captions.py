"""Pictures with their texts: the common form of all sources of such pairs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.held_out import divide, text_id
from tellapart.domains.pictures.stored import all_pixels, chosen, pixel_ids
from tellapart.domains.texts import chosen as chosen_texts
from tellapart.domains.texts import digest_of, numbers, picked
from tellapart.errors import InputError
from tellapart.relations import Relation, same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Int, UInt8
    from torch import Tensor

    from tellapart.runs import PictureRows


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pictures and their texts, row by row. Several rows may share a picture or a text."""

    content: PictureRows
    """The pictures, in memory or in a file."""
    texts: Sequence[str]
    names: Sequence[str]
    """The names of the pictures: their files, or the emoji."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def pictures(self) -> UInt8[Tensor, "n 3 size size"]:
        """The pictures in memory, for what is as small as a batch."""
        return self.content if isinstance(self.content, torch.Tensor) else self.content[:]

    def rows(self, index: Int[Tensor, " k"]) -> Pairs:
        """The pairs at these rows, in this order and in memory: a batch."""
        return Pairs(self.content[index], picked(self.texts, index), picked(self.names, index))

    def part(self, index: Int[Tensor, " k"]) -> Pairs:
        """The pairs at these rows, in this order; what is in a file stays there."""
        return Pairs(chosen(self.content, index), chosen_texts(self.texts, index), chosen_texts(self.names, index))

    def to(self, device: torch.device, non_blocking: bool = False) -> Pairs:
        """The same pairs with the pictures on `device`."""
        return Pairs(self.pictures.to(device, non_blocking=non_blocking), self.texts, self.names)

    def text_ids(self) -> list[str]:
        """One id per row; rows with the same text, up to case and spacing, share it."""
        return [text_id(text) for text in self.texts]

    def picture_ids(self) -> list[bytes]:
        """One id per row; rows with identical pixels share it, whatever their names."""
        return pixel_ids(self.content)

    def picture_numbers(self) -> Int[np.ndarray, " n"]:
        """One number per row, from 0; rows with identical pixels share it."""
        found: dict[bytes, int] = {}
        return np.array([found.setdefault(x, len(found)) for x in self.picture_ids()])

    def matches(self) -> Relation:
        """Which pictures and texts belong together: those of pairs with the same text, or with the same picture."""
        return same(self.text_ids()) | same(self.picture_ids())

    def fingerprint(self) -> str:
        """A hash of all content, to detect that data changed between two commands."""
        digest = hashlib.sha256()
        for pixels in all_pixels(self.content):
            digest.update(pixels)
        for piece in digest_of(self.texts, self.names):
            digest.update(piece)
        return digest.hexdigest()


def split(pairs: Pairs, held_out: float, seed: int) -> tuple[Int[Tensor, " a"], Int[Tensor, " b"]]:
    """Rows for training and rows held out, such that no picture and no text is in both parts.

    Rows that share a picture or a text, directly or through other rows, form a group. Whole groups are
    drawn at random until the share `held_out` of the rows is reached.

    Raises:
        InputError: fewer than 4 groups: 2 to train on and 2 to hold out.

    >>> pictures = torch.arange(24, dtype=torch.uint8).reshape(8, 3, 1, 1)
    >>> pairs = Pairs(pictures, list("aabbccdd"), list("12345678"))
    >>> train, test = split(pairs, 0.5, seed=0)
    >>> sorted(len(set(pairs.rows(rows).texts)) for rows in (train, test))
    [2, 2]
    """
    group = _groups(numbers(pairs.texts).numpy(), pairs.picture_numbers())
    sizes = np.bincount(group)
    if len(sizes) < 4:
        raise InputError(
            f"data: {len(pairs)} pairs in {len(sizes)} groups that share neither picture nor text. "
            "At least 4 are needed: 2 to train on and 2 to hold out."
        )
    return divide(group, held_out, seed)


def _groups(*columns: Int[np.ndarray, " n"]) -> np.ndarray:
    """Number the connected components of rows that share a number of any kind."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(columns[0])
    ends = n + np.cumsum([0, *(int(column.max()) + 1 for column in columns)])  # of the nodes of each kind
    links = np.concatenate([column + begin for column, begin in zip(columns, ends[:-1], strict=True)])
    rows = np.tile(np.arange(n), len(columns))
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, links)), shape=(ends[-1], ends[-1]))
    labels = connected_components(graph, directed=False)[1][:n]
    return np.unique(labels, return_inverse=True)[1]
