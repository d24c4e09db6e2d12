"""Embeddings in groups: by k-means or, if their number is to be found, by HDBSCAN."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import normalize

from tellapart.errors import InputError
from tellapart.evaluation import Table, grouped
from tellapart.runs.rows import write_rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.runs.gallery import Embeddings

_LONG = 20_000  # vectors from which on HDBSCAN, which compares them all, takes minutes
_MANY = 0.3  # the share of items in no group from which on it is said that another way has none
_logger = logging.getLogger("tellapart")


@dataclass(frozen=True, eq=False)
class Groups:
    """Items in groups, the largest first; -1 is in none."""

    names: list[str]
    kinds: list[str]
    number: Int[Tensor, " n"]
    closeness: Float[Tensor, " n"]
    """The cosine of each item with the mean of its group."""

    @classmethod
    def of(cls, embeddings: Embeddings, n: int | None) -> Groups:
        """Group embeddings by direction, in n groups or, for `None`, in as many as HDBSCAN finds.

        Raises:
            InputError: more groups than items.
        """
        number = group_numbers(embeddings.vectors, n)
        return cls(embeddings.names, embeddings.kinds, number, closeness(embeddings.vectors, number))

    def table(self, thing: str = "item") -> Table:
        """How many items each group has, and its most typical one; a note if many are in none."""
        table = table_of_groups(self.names, self.number, self.closeness, thing)
        share = float((self.number < 0).float().mean())
        if share <= _MANY:
            return table
        hint = f"{share:.0%} are in no group. A number of groups (--groups) puts each {thing} into one."
        return replace(table, notes=[*table.notes, hint])

    def members(self) -> dict[int, list[int]]:
        """The rows of each group, the most typical first; those in no group come last."""
        return members_of(self.number, self.closeness)

    def save(self, path: Path) -> None:
        """Write name, kind and group of each item, as CSV or Parquet.

        Raises:
            InputError: another ending, or the file cannot be written.
        """
        write_rows(path, {"name": self.names, "kind": self.kinds, "group": self.number.tolist()})


def group_numbers(vectors: Float[Tensor, "n d"], n: int | None, thing: str = "item") -> Int[Tensor, " n"]:
    """The group of each vector, the largest group first; -1 is in none.

    Args:
        vectors: only their directions matter.
        n: how many groups, by k-means; `None` for as many as HDBSCAN finds.
        thing: what a vector is of, in one word, for messages.

    Raises:
        InputError: more groups than vectors.
    """
    if n is not None and n > len(vectors):
        raise InputError(f"`n` (--groups) must be at most {len(vectors)}, the number of {thing}s. Got {n}.")
    if n is None and len(vectors) > _LONG:
        what = f"HDBSCAN compares {len(vectors):,} {thing}s with each other, which may take long"
        _logger.info("%s. A number of groups (--groups) is faster.", what)
    found = grouped(vectors, n_clusters=n).tolist()
    sizes = Counter(group for group in found if group >= 0)
    rank = {group: i for i, (group, _) in enumerate(sizes.most_common())} | {-1: -1}
    return torch.tensor([rank[group] for group in found])


def closeness(vectors: Float[Tensor, "n d"], number: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The cosine of each vector with the mean direction of its group.

    >>> closeness(torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]]), torch.tensor([0, 0, 1]))
    tensor([0.7071, 0.7071, 1.0000])
    """
    units = normalize(vectors.float(), dim=1)
    group = number - number.min()  # -1 is a row of its own
    sums = torch.zeros(int(group.max()) + 1, units.shape[1]).index_add(0, group, units)
    return (units * normalize(sums, dim=1)[group]).sum(1)


def members_of(number: Int[Tensor, " n"], closeness: Float[Tensor, " n"]) -> dict[int, list[int]]:
    """The rows of each group, the closest to its mean first; group -1 comes last.

    >>> members_of(torch.tensor([1, -1, 0, 1]), torch.tensor([0.5, 1.0, 1.0, 0.9]))
    {0: [2], 1: [3, 0], -1: [1]}
    """
    members: dict[int, list[int]] = {}
    for row in closeness.argsort(descending=True, stable=True).tolist():
        members.setdefault(int(number[row]), []).append(row)
    return {group: members[group] for group in sorted(members, key=lambda x: (x < 0, x))}


def table_of_groups(
    names: list[str],
    number: Int[Tensor, " n"],
    closeness: Float[Tensor, " n"],
    thing: str,
    title: str = "",
    more: dict[str, list[str]] | None = None,
) -> Table:
    """The size of each group, and its most typical item: the one that is closest to its mean.

    Args:
        names: of the items.
        number: their groups, of `group_numbers`.
        closeness: of each item to its group's mean, of `closeness`.
        thing: what they are, in one word.
        title: of the table; by default how many items there are.
        more: further columns, each with something of every item: the table counts how many different ones a group has.
    """
    further = more or {}
    rows: list[list[str | float]] = []
    for group, of in members_of(number, closeness).items():
        counts = [float(len({column[row] for row in of})) for column in further.values()]
        name = f"group {group}" if group >= 0 else "in no group"
        rows.append([name, float(len(of)), len(of) / len(names), *counts, names[of[0]]])
    header = ["", f"{thing}s", "share", *further, "most typical"]
    formats = ["", ".0f", ".3f", *(".0f" for _ in further), ""]
    return Table(title or f"{len(names):,} {thing}s in groups", header, rows, formats, [])
