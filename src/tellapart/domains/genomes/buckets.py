"""Embed sequences of any lengths in batches of similar lengths, with little padding, while they are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.domains.genomes.bases import padded
from tellapart.runs import Embeddings, Part, Parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tellapart.domains.genomes.fastx import Record

Encode = Callable[[Tensor], Tensor]
"""Reads `UInt8[Tensor, "n length"]` to embeddings `Float[Tensor, "n d"]`."""

_AT_ONCE, _BASES = 2**13, 2**16


def parts_of_records(records: Iterable[Record], encode: Encode) -> Parts:
    """The parts of sequences, in their order: a few thousand sequences are in memory at a time."""
    for some in _groups(records):
        yield Part(partial(_embedded, some, encode), partial(_content, some))


def _embedded(some: list[Record], encode: Encode) -> Embeddings:
    made: list[tuple[list[int], Tensor]] = []
    for rows in of_similar_length([len(record.bases) for record in some], _BASES):
        made.append((rows, encode(padded([some[row].bases for row in rows]))))
    order = torch.tensor([row for rows, _ in made for row in rows])
    vectors = torch.cat([part for _, part in made])[order.argsort()]
    return Embeddings([record.name for record in some], ["read"] * len(some), vectors)


def _content(some: list[Record]) -> Iterator[bytes]:
    for record in some:
        yield record.name.encode("utf-8", "replace")
        yield record.bases.tobytes()


def of_similar_length(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Rows in batches, the shortest first, each of at most `most` bases with padding, or of a single row.

    >>> list(of_similar_length([90, 30, 20, 31], most=70))
    [[2, 1], [3], [0]]
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[row] > most:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _groups(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records in groups that fit into memory, and are large enough to have records of similar length."""
    some: list[Record] = []
    n_bases = 0
    for record in records:
        some.append(record)
        n_bases += len(record.bases)
        if len(some) == _AT_ONCE or n_bases >= _AT_ONCE * 2**10:
            yield some
            some, n_bases = [], 0
    if some:
        yield some
