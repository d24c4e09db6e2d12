"""Sentences with their translations: the common form of all sources."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.held_out import divide, text_id
from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Translations:
    """Sentences of two languages, row by row. Each pair belongs to a group, such as a book, that is not divided."""

    sources: list[str]
    targets: list[str]
    groups: list[str]
    languages: tuple[str, str] = ("source", "target")
    left_out: int = 0
    """The number of pairs left out, because one sentence is empty or missing."""

    def __len__(self) -> int:
        return len(self.sources)

    def rows(self, index: Int[Tensor, " k"]) -> Translations:
        """The pairs at these rows, in this order."""
        columns = self.sources, self.targets, self.groups
        sources, targets, groups = ([column[i] for i in index.tolist()] for column in columns)
        return Translations(sources, targets, groups, self.languages)

    def ids(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """One id per source, and one per target; texts that are equal up to case and spacing share it.

        >>> pairs = Translations(["A cat", "a  cat", "a dog"], ["un chat", "le chat", "un chat"], ["", "", ""])
        >>> [ids.tolist() for ids in pairs.ids()]
        [[0, 0, 1], [0, 1, 0]]
        """
        return _numbered(self.sources), _numbered(self.targets)

    def fingerprint(self) -> str:
        """A hash of all content, to detect that data changed between two commands."""
        return fingerprint_of([*self.sources, *self.targets, *self.groups])

    def split(self, held_out: float, seed: int) -> tuple[Int[Tensor, " a"], Int[Tensor, " b"]]:
        """Rows for training and rows held out, such that no group and no sentence is in both parts.

        Whole groups are drawn at random until they hold the share `held_out` of the pairs. A drawn pair with a
        sentence that training has, too, is in neither part.

        Raises:
            InputError: fewer than 4 groups, or fewer than 2 pairs to train on or held out.

        >>> pairs = Translations(list("aabcdefg"), list("AABCDEFG"), list("12123344"))
        >>> rows, held_out = pairs.split(0.5, seed=1)
        >>> [sorted({pairs.groups[i] for i in part.tolist()}) for part in (rows, held_out)]
        [['3', '4'], ['1', '2']]
        """
        names = {group: number for number, group in enumerate(dict.fromkeys(self.groups))}
        if len(names) < 4:
            what = f"{len(self)} pairs in {len(names)} groups (the third column). At least 4 groups are needed"
            raise InputError(f"data: {what}: 2 to train on and 2 to hold out.")
        rows, out = divide(np.array([names[group] for group in self.groups]), held_out, seed)
        known = [set(ids[rows].tolist()) for ids in self.ids()]
        is_new = [not any(i in seen for i, seen in zip(pair, known, strict=True)) for pair in _pairs(self.ids(), out)]
        unseen = out[torch.tensor(is_new, dtype=torch.bool)]
        if len(unseen) < 2 or len(rows) < 2:
            what = f"{len(rows)} pairs to train on, and {len(unseen)} held out with sentences that these have not"
            raise InputError(f"data: {what}. At least 2 of each are needed.")
        return rows, unseen


def fingerprint_of(texts: list[str]) -> str:
    """A hash of texts in their order.

    >>> fingerprint_of(["a", "b"]) == fingerprint_of(["b", "a"])
    False
    """
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def _pairs(ids: tuple[Tensor, Tensor], rows: Tensor) -> list[tuple[int, int]]:
    return list(zip(ids[0][rows].tolist(), ids[1][rows].tolist(), strict=True))


def _numbered(texts: list[str]) -> Int[Tensor, " n"]:
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(text_id(text), len(numbers)) for text in texts], dtype=torch.long)
