"""Find the vectors nearest to queries: exactly or, among many, approximately by an index that the run keeps."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from tellapart.errors import InputError
from tellapart.files import atomic_write
from tellapart.pretrained import library

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

MANY = 100_000
"""Vectors from which on search is approximate, if faiss is there."""
RECALL = 0.95
"""The share of the nearest that an index has to find where it is measured."""
_ASKED, _NEAREST = 256, 10  # queries of the measurement, and how many of the nearest each has to find
_SCORES = 2**24  # that are in memory at once
_logger = logging.getLogger("tellapart")

Found = tuple["Float[Tensor, ' k']", "Int[Tensor, ' k']"]


class Nearest(Protocol):
    """What finds the vectors with the largest inner products with queries."""

    def __call__(self, queries: Float[Tensor, "q d"], k: int) -> Iterator[Found]:
        """For each query the inner products and the rows of k vectors, or of fewer, the largest first."""


@dataclass(frozen=True, eq=False)
class Exact:
    """Compares queries with all vectors; of equal ones the first rows come first.

    >>> vectors = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> next(Exact(vectors)(torch.tensor([[0.0, 1.0]]), 2))
    (tensor([1., 1.]), tensor([0, 2]))
    """

    vectors: Float[Tensor, "n d"]

    def __call__(self, queries: Float[Tensor, "q d"], k: int) -> Iterator[Found]:
        n = len(self.vectors)
        for some in queries.split(max(1, _SCORES // n)):
            for scores in some @ self.vectors.T:
                least = scores.topk(min(k, n)).values[-1]
                rows = (scores >= least).nonzero().flatten()
                yield _sorted(scores[rows], rows, k)


@dataclass(frozen=True, eq=False)
class Approximate:
    """Compares queries with the vectors of a few cells of an inverted index only."""

    vectors: Float[Tensor, "n d"]
    index: Any
    recall: float
    """The share of the 10 nearest that it finds, as measured."""

    def __call__(self, queries: Float[Tensor, "q d"], k: int) -> Iterator[Found]:
        _, found = self.index.search(queries.contiguous().numpy(), min(k, len(self.vectors)))
        for query, places in zip(queries, found, strict=True):
            rows = torch.from_numpy(np.sort(places[places >= 0]))
            yield _sorted(self.vectors[rows] @ query, rows, k)


def nearest_of(
    vectors: Float[Tensor, "n d"], place: Path, asked: Float[Tensor, "m d"] | None = None
) -> Exact | Approximate:
    """What finds the nearest of these vectors: exact up to `MANY` of them, or without faiss; else by an index.

    The index is an inverted file: k-means divides the vectors into 4√n cells, and a query looks into those that are
    nearest to it. Of these there are as many as find `RECALL` of the 10 nearest, measured against the exact search.

    Args:
        vectors: of float32.
        place: the file of the index. It is made anew if it is of other vectors.
        asked: vectors like those of queries, to measure with; by default `vectors`, each of which looks for others.
    """
    n = len(vectors)
    if n <= MANY:
        return Exact(vectors)
    try:
        faiss = library("faiss", "index")
    except InputError as error:
        _logger.info("Exact search among %s vectors, which an index makes faster: %s", f"{n:,}", error)
        return Exact(vectors)
    digest = hashlib.blake2b(vectors.contiguous().numpy().data, digest_size=16).hexdigest()
    found = _kept(faiss, vectors, place, digest)
    if found is None:
        _logger.info("Builds an index of %s vectors, once.", f"{n:,}")
        found = _built(faiss, vectors, vectors if asked is None else asked)
        _keep(faiss, found, place, digest)
    what = f"it finds {found.recall:.1%} of the {_NEAREST} nearest, measured with {_ASKED} of the run's own"
    _logger.info("Search among %s vectors is approximate: %s.", f"{n:,}", what)
    return found


def _built(faiss: Any, vectors: Tensor, asked: Tensor) -> Approximate:
    n, width = vectors.shape
    cells = round(4 * n**0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 10, 1, 39
    values = vectors.contiguous().numpy()
    index.train(values)
    index.add(values)
    rows = torch.randperm(len(asked), generator=torch.Generator().manual_seed(0))[:_ASKED]
    own = rows.tolist() if asked is vectors else [-1] * len(rows)
    expected = _nearest(Exact(vectors), asked[rows], own)
    index.nprobe = 1
    while True:
        found = _nearest(Approximate(vectors, index, 0.0), asked[rows], own)
        recall = sum(len(a & b) / len(a) for a, b in zip(expected, found, strict=True)) / len(expected)
        if recall >= RECALL or index.nprobe == cells:
            return Approximate(vectors, index, recall)
        index.nprobe = min(2 * index.nprobe, cells)


def _nearest(nearest: Nearest, queries: Tensor, own: list[int]) -> list[set[int]]:
    """The rows nearest to each query, without its own."""
    found = nearest(queries, _NEAREST + 1)
    return [
        set([row for row in rows.tolist() if row != mine][:_NEAREST])
        for (_, rows), mine in zip(found, own, strict=True)
    ]


def _kept(faiss: Any, vectors: Tensor, place: Path, digest: str) -> Approximate | None:
    try:
        with np.load(place, allow_pickle=False) as file:
            if str(file["of"]) != digest:
                return None
            return Approximate(vectors, faiss.deserialize_index(file["index"]), float(file["recall"]))
    except Exception:  # there is none, or it is damaged, which has as many forms as there are bytes
        return None


def _keep(faiss: Any, found: Approximate, place: Path, digest: str) -> None:
    try:
        with atomic_write(place) as file:
            np.savez(file, index=faiss.serialize_index(found.index), of=np.array(digest), recall=found.recall)
    except InputError as error:
        _logger.warning("%s The index is not kept.", str(error).partition(" Make room")[0])


def _sorted(scores: Tensor, rows: Tensor, k: int) -> Found:
    order = scores.argsort(descending=True, stable=True)[:k]
    return scores[order], rows[order]
