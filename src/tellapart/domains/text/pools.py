"""Translation retrieval: is a sentence's translation the best of a pool, by cosine and by margin?"""

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
    "R@1: the share of sentences whose translation scores above all others of the pool; a tie counts as a miss, "
    "unless it is with a sentence that says the same. "
    "Margin: the cosine, divided by the mean cosine of the two sentences with their 4 nearest each."
)


def found_first(queries: Vectors, keys: Vectors, relevant: Relation, *, scoring: str = "cosine", k: int = 4) -> float:
    """Recall at 1: the share of queries for which a relevant key scores above all others; a tie counts as a miss.

    By cosine, or by the ratio margin, which takes from hubs what they have of everybody:

        margin(q, k) = cos(q, k) / ( Σ_{z ∈ NN(q)} cos(q, z) / 2k + Σ_{z ∈ NN(k)} cos(k, z) / 2k )

    with NN(·) the k nearest of the other side (all of them, if these are fewer). Every query must have a relevant key.
    Streams over the queries.

    Args:
        queries: unit vectors.
        keys: unit vectors.
        relevant: who is whose counterpart.
        scoring: "cosine" or "margin".
        k: how many neighbours the margin looks at.

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
    """A table of recall at 1, both ways, by cosine and by margin: in pools, and among all pairs together.

    The pairs are dealt into as many pools as they fill, at random but always alike, and the mean is taken. Of fewer
    pairs than fill one, there is the pool of all only.

    Args:
        sides: what the two sides are called.
        ids: of the sentences of each side: those that share one say the same. A candidate is a translation of a
            query if some pair of the pool has both texts, in whichever row they stand.
        models: for each model's name, the unit vectors of both sides.
        title: the table's title.
        pool: pairs in a pool.
    """
    n = len(ids[0])
    dealt = np.random.default_rng(0).permutation(n)
    whole = [np.sort(dealt[i : i + pool]) for i in range(0, n - pool + 1, pool)]
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
    """Among these rows, which keys say what some pair has as a translation of what the query says."""

    def __init__(self, ids: Ids, rows: Int[np.ndarray, " p"]) -> None:
        self.queries, self.keys = (side[torch.from_numpy(rows)] for side in ids)
        self.known = edges(torch.stack([self.queries, self.keys]))

    def at(self, rows: Int[Tensor, "*shape"], cols: Int[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
        return self.known.at(self.queries[rows], self.keys[cols])

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Bool[Tensor, "r c"]:
        # Each text of the queries is looked at once, and no pair is searched for: there are many.
        texts, place = self.queries[rows].unique(return_inverse=True)
        asked = torch.isin(self.queries, texts)
        found = torch.zeros(len(texts), int(self.keys.max()) + 1, dtype=torch.bool)
        found[torch.searchsorted(texts, self.queries[asked]), self.keys[asked]] = True
        return found[:, self.keys[cols]][place].to(device)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        check_size(parameter, "queries", len(self.queries), n_queries)
        check_size(parameter, "keys", len(self.keys), n_keys)


def _tiles(queries: Vectors, keys: Vectors) -> Iterator[tuple[slice, Float[Tensor, "r m"]]]:
    """The cosines, some rows at a time."""
    n = queries.shape[0]
    for start in range(0, n, _CHUNK):
        rows = slice(start, min(start + _CHUNK, n))
        tile = queries[rows] @ keys.T
        yield rows, (tile if isinstance(tile, Tensor) else torch.from_numpy(tile.toarray())).double()


def _mean_of_best(tile: Float[Tensor, "r m"], k: int) -> Float[Tensor, " r"]:
    """The mean cosine of each row's k best; one without anything in common with anybody is far from all."""
    return tile.topk(min(k, tile.shape[1]), dim=1).values.mean(dim=1).clamp(min=1e-9)
