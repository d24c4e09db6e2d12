"""Translation retrieval: whether a sentence's translation scores highest in a pool, by cosine or by margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tellapart.errors import check_choice, requirement
from tellapart.evaluation import Table, chance
from tellapart.relations import Relation, check_size, edges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Bool, Float, Int

    Vectors = Tensor | Any
    """Unit vectors as rows: a tensor, or a sparse array of SciPy."""

    Ids = tuple[Int[Tensor, " n"], Int[Tensor, " n"]]
    Pools = list[Int[np.ndarray, " p"]]

POOL = 1000
_CHUNK = 1024
_SCORINGS = ("cosine", "margin")
_NOTE = (
    "R@1: how often a sentence's translation scores above all others of the pool; a tie counts as a miss, "
    "unless the texts are equal. "
    "Margin: the cosine, divided by the mean cosine of the two sentences with their 4 nearest neighbours each."
)


def found_first(queries: Vectors, keys: Vectors, relevant: Relation, *, scoring: str = "cosine", k: int = 4) -> float:
    """Recall at 1: the share of queries for which a relevant key scores above all others; a tie counts as a miss.

    The score is the cosine, or the ratio margin, which lowers the scores of hubs, similar to many vectors:

        margin(q, k) = cos(q, k) / ( Σ_{z ∈ NN(q)} cos(q, z) / 2k + Σ_{z ∈ NN(k)} cos(k, z) / 2k )

    NN(q) are the k nearest keys of a query and NN(k) the k nearest queries of a key, or all if there are fewer. Every
    query must have a relevant key. Streams over the queries.

    Args:
        queries: unit vectors.
        keys: unit vectors.
        relevant: the relevant keys of each query.
        scoring: "cosine" or "margin".
        k: the number of neighbours for the margin.

    Raises:
        ValueError: an unknown scoring, or k below 1.

    Source: Artetxe & Schwenk 2019 (margin-based parallel corpus mining), eq. 2, "ratio".

    >>> from tellapart.relations import paired
    >>> queries, keys = torch.tensor([[0.8, 0.6], [0.6, 0.8]]), torch.tensor([[0.6, 0.8], [0.5, 0.866]])
    >>> [found_first(queries, keys, paired(), scoring=by, k=2) for by in ("cosine", "margin")]
    [0.5, 1.0]
    """
    check_choice("scoring", scoring, _SCORINGS)
    if k < 1:
        raise ValueError(requirement("k", "be at least 1", k))
    n, m = queries.shape[0], keys.shape[0]
    around = torch.zeros(m, dtype=torch.float64)
    if scoring == "margin":
        around = torch.cat([_mean_of_best(tile, k) for _, tile in _tiles(keys, queries)])
    hits = 0
    for rows, tile in _tiles(queries, keys):
        if scoring == "margin":
            tile = tile / ((_mean_of_best(tile, k)[:, None] + around) / 2)
        related = relevant.tile(rows, slice(0, m)) != 0
        best = tile.masked_fill(~related, -torch.inf).amax(dim=1)
        hits += int((best > tile.masked_fill(related, -torch.inf).amax(dim=1)).sum())
    return hits / n


def in_pools(
    sides: tuple[str, str],
    ids: tuple[Int[Tensor, " n"], Int[Tensor, " n"]],
    models: dict[str, tuple[Vectors, Vectors]],
    title: str,
    *,
    pool: int = POOL,
) -> Table:
    """A table of recall at 1 in both directions, by cosine and by margin: in pools, and among all pairs together.

    The pairs are divided at random, with a fixed seed, into full pools, and the mean over pools is taken. If they do
    not fill a pool, all pairs are the only pool.

    Args:
        sides: the names of the two languages.
        ids: ids of the sentences of each language; equal texts share one. A key is a translation of a query if any
            pair of the pool has both texts.
        models: for each model's name, the unit vectors of both languages.
        title: the table's title.
        pool: the number of pairs in a pool.
    """
    n = len(ids[0])
    order = np.random.default_rng(0).permutation(n)
    whole = [np.sort(order[i : i + pool]) for i in range(0, n - pool + 1, pool)]
    kinds = {f"all {n}": [np.arange(n)]} if n <= pool else {f"{pool}": whole, f"all {n}": [np.arange(n)]}
    rows: list[list[str | float]] = []
    for query, key in ((0, 1), (1, 0)):
        direction = f"{sides[query]} → {sides[key]}"
        texts = ids[query], ids[key]
        rows.append([direction, "chance", *(_chance(texts, pools) for pools in kinds.values() for _ in _SCORINGS)])
        for name, pair in models.items():
            both = pair[query], pair[key]
            found = (_mean_over(both, texts, pools, by) for pools in kinds.values() for by in _SCORINGS)
            rows.append(["", name, *found])
    header = ["", "", *(f"{kind}, {scoring}" for kind in kinds for scoring in _SCORINGS)]
    return Table(title, header, rows, ["", "", *(".3f" for _ in header[2:])], [_NOTE])


def _mean_over(both: tuple[Vectors, Vectors], ids: Ids, pools: Pools, scoring: str) -> float:
    queries, keys = both
    found = [found_first(queries[rows], keys[rows], _Translations(ids, rows), scoring=scoring) for rows in pools]
    return float(np.mean(found))


def _chance(ids: Ids, pools: Pools) -> float:
    return float(np.mean([chance(_Translations(ids, rows), len(rows), len(rows), ks=(1,)).recall[1] for rows in pools]))


class _Translations(Relation):
    """Among these rows, the keys that any pair has as a translation of the query's text."""

    def __init__(self, ids: Ids, rows: Int[np.ndarray, " p"]) -> None:
        self.queries, self.keys = (side[torch.from_numpy(rows)] for side in ids)
        self.known = edges(torch.stack([self.queries, self.keys]))

    def at(self, rows: Int[Tensor, "*shape"], cols: Int[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
        return self.known.at(self.queries[rows], self.keys[cols])

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Bool[Tensor, "r c"]:
        # One row per different text, filled from all pairs at once, because searching for each pair is slow.
        texts, place = self.queries[rows].unique(return_inverse=True)
        pairs = torch.isin(self.queries, texts)
        found = torch.zeros(len(texts), int(self.keys.max()) + 1, dtype=torch.bool)
        found[torch.searchsorted(texts, self.queries[pairs]), self.keys[pairs]] = True
        return found[:, self.keys[cols]][place].to(device)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        check_size(parameter, "queries", len(self.queries), n_queries)
        check_size(parameter, "keys", len(self.keys), n_keys)


def _tiles(queries: Vectors, keys: Vectors) -> Iterator[tuple[slice, Float[Tensor, "r m"]]]:
    """The cosines, in chunks of rows."""
    n = queries.shape[0]
    for start in range(0, n, _CHUNK):
        rows = slice(start, min(start + _CHUNK, n))
        tile = queries[rows] @ keys.T
        yield rows, (tile if isinstance(tile, Tensor) else torch.from_numpy(tile.toarray())).double()


def _mean_of_best(tile: Float[Tensor, "r m"], k: int) -> Float[Tensor, " r"]:
    """The mean cosine of each row's k nearest neighbours, positive also for a row similar to none."""
    return tile.topk(min(k, tile.shape[1]), dim=1).values.mean(dim=1).clamp(min=1e-9)
