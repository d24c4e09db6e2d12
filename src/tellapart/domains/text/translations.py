"""Sentences with their translations: the common form of all sources."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tellapart.domains.held_out import divide
from tellapart.domains.texts import chosen, digest_of, exact_hash, numbers
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Int
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Translations:
    """Sentences of two languages, row by row: lists, or what takes their place where they outgrow the memory.

    Each pair belongs to a group, such as a book, that is not divided.
    """

    sources: Sequence[str]
    targets: Sequence[str]
    groups: Sequence[str]
    languages: tuple[str, str] = ("source", "target")
    left_out: int = 0
    """The number of pairs left out, because one sentence is empty or missing."""

    def __len__(self) -> int:
        return len(self.sources)

    def rows(self, index: Int[Tensor, " k"]) -> Translations:
        """The pairs at these rows, in this order; those in a store stay there."""
        sources, targets, groups = (chosen(column, index) for column in (self.sources, self.targets, self.groups))
        return Translations(sources, targets, groups, self.languages)

    def ids(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """One id per source, and one per target; texts that are equal up to case and spacing share it.

        >>> pairs = Translations(["A cat", "a  cat", "a dog"], ["un chat", "le chat", "un chat"], ["", "", ""])
        >>> [ids.tolist() for ids in pairs.ids()]
        [[0, 0, 1], [0, 1, 0]]
        """
        return numbers(self.sources), numbers(self.targets)

    def fingerprint(self) -> str:
        """A hash of all content, to detect that data changed between two commands."""
        return fingerprint_of(self.sources, self.targets, self.groups)

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
        groups = numbers(self.groups, exact_hash)
        n_groups = len(groups.unique())
        if n_groups < 4:
            what = f"{len(self)} pairs in {n_groups} groups (the third column). At least 4 groups are needed"
            raise InputError(f"data: {what}: 2 to train on and 2 to hold out.")
        rows, out = divide(groups.numpy(), held_out, seed)
        is_known = torch.stack([torch.isin(ids[out], ids[rows]) for ids in self.ids()]).any(dim=0)
        unseen = out[~is_known]
        if len(unseen) < 2 or len(rows) < 2:
            what = f"{len(rows)} pairs to train on, and {len(unseen)} held out with sentences that these have not"
            raise InputError(f"data: {what}. At least 2 of each are needed.")
        return rows, unseen


def fingerprint_of(*columns: Sequence[str]) -> str:
    """A hash of texts in their order.

    >>> fingerprint_of(["a", "b"]) == fingerprint_of(["b", "a"])
    False
    """
    digest = hashlib.sha256()
    for piece in digest_of(*columns):
        digest.update(piece)
    return digest.hexdigest()
