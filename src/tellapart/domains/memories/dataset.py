"""The pairs of a run, for training and held out, and what is made of them: figures and a gallery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from tellapart import reading as account
from tellapart.domains.memories.options import MemoryOptions, Side, Sides
from tellapart.domains.memories.pairs import LoadPictures, Pairs, load_pairs
from tellapart.domains.memories.reading import reading
from tellapart.errors import InputError
from tellapart.evaluation import Table, both_ways
from tellapart.relations import same
from tellapart.runs import Gallery
from tellapart.training import Batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Int, Shaped
    from torch import Tensor

    from tellapart.domains.memories.network import Memory
    from tellapart.runs import Run


class Batch(NamedTuple):
    """Some pairs."""

    queries: Shaped[Tensor, "n *query"]
    keys: Shaped[Tensor, "n *key"]
    key_ids: Int[Tensor, " n"]

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The same on a device."""
        return Batch(*(part.to(device, non_blocking=non_blocking) for part in self))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pairs, and which of their rows are to train on and which training never sees."""

    options: MemoryOptions
    pairs: Pairs
    training: Int[Tensor, " t"]
    held_out: Int[Tensor, " h"]
    title: str

    @classmethod
    def load(
        cls,
        pictures_as: Callable[[MemoryOptions], LoadPictures],
        options: MemoryOptions,
        run: Run,
        source: str | None = None,
    ) -> Dataset:
        """A run's own pairs; or, from another source, pairs that are all held out.

        Raises:
            InputError: they are missing, broken, too few or of another shape; or the run's own changed since it began.
        """
        pairs = load_pairs(source or options.data, pictures_as(options))
        account.read(len(pairs), "pair")
        if source is not None:
            _check_shapes(source, pairs, Sides.noted(run))
            title = f"Retrieval among {len(pairs)} pairs of {source}"
            return cls(options, pairs, torch.arange(0), torch.arange(len(pairs)), title)
        run.check_data(pairs.fingerprint())
        rows, held_out = pairs.split(options.held_out, options.seed)
        title = f"Retrieval among {len(held_out)} held-out pairs, after training on {len(rows)} others"
        data = cls(options, pairs, rows, held_out, title)
        data.sides().note(run)
        return data

    def sides(self) -> Sides:
        """The shapes of queries and keys, with the mean and deviation of the training rows."""
        return Sides(*(_side(items, self.training) for items in (self.pairs.queries, self.pairs.keys)))

    def batches(self) -> Batches:
        """The batches of a training."""
        return Batches(len(self.training), self.options.batch_size, self.options.epochs, self.options.seed)

    def rows(self, index: Int[Tensor, " n"]) -> Batch:
        """Some of the pairs to train on, by their row among these."""
        return self._batch(self.training[index])

    def unseen(self, index: Int[Tensor, " n"]) -> Batch:
        """Some of the pairs held out, by their row among these."""
        return self._batch(self.held_out[index])

    def _batch(self, rows: Int[Tensor, " n"]) -> Batch:
        return Batch(self.pairs.queries[rows], self.pairs.keys[rows], self.pairs.key_ids[rows])

    def measure(self, before: Memory, after: Memory) -> Table:
        """Guessing, the untrained and the trained encoders, both ways; and what the trained ones read."""
        asked = self.pairs.rows(self.held_out)
        found = {
            name: (memory.embed_queries(asked.queries), memory.embed_keys(asked.keys))
            for name, memory in (("untrained", before), ("trained", after))
        }
        table = both_ways(("query", "key"), same(asked.key_ids), found, self.title)
        return replace(table, notes=[*table.notes, reading(after, asked, *found["trained"]).told()])

    def gallery(self, after: Memory) -> Gallery:
        """All pairs with the embeddings of both sides."""
        pairs = self.pairs
        is_out = torch.zeros(len(pairs), dtype=torch.bool).index_fill(0, self.held_out, True)
        vectors = after.embed_keys(pairs.keys), after.embed_queries(pairs.queries)
        return Gallery(pairs.names, pairs.names, is_out, *vectors, None, kind="key", asked="query")


def _side(items: Shaped[Tensor, "n *shape"], rows: Int[Tensor, " t"]) -> Side:
    # In pieces: as floating-point numbers all together would take a multiple of the memory.
    parts = [items[part].double() for part in rows.split(4096)]
    n = sum(part.numel() for part in parts)
    mean = sum(part.sum().item() for part in parts) / n
    variance = sum((part - mean).square().sum().item() for part in parts) / n
    return Side(tuple(items.shape[1:]), mean, variance**0.5 or 1.0)


def _check_shapes(source: str, pairs: Pairs, sides: Sides) -> None:
    for name, side, items in zip(sides._fields, sides, (pairs.queries, pairs.keys), strict=True):
        if tuple(items.shape[1:]) != side.shape:
            shapes = f"{tuple(items.shape[1:])}, where the run was trained with {side.shape}"
            raise InputError(f"{source}: {name} of shape {shapes}. Give items of that shape.")
