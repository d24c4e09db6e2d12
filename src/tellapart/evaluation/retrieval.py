"""Retrieval: whether a relevant key is among the k keys of highest score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tellapart.errors import check_embeddings, requirement
from tellapart.evaluation.table import Table
from tellapart.relations import Relation
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

KS = (1, 5, 10)
_CHUNK = 1024
_HEADER, _FORMATS = [*(f"R@{k}" for k in KS), "median rank"], [*(".3f" for _ in KS), "g"]
_NOTE = "R@k: the share of queries with a relevant key among the k best. Rank 1 is best; a tie counts as a miss."


@dataclass(frozen=True)
class Retrieval:
    """Recall at k in [0, 1] and the median rank (1 is best), over the queries that have a relevant key."""

    recall: dict[int, float]
    median_rank: float
    n_queries: int


def retrieval(
    queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"], relevant: Relation, ks: tuple[int, ...] = KS
) -> Retrieval:
    """Rank all keys by cosine for each query, and find the rank of the first relevant one.

    `rank_i = 1 + #{irrelevant j : s_ij ≥ max over relevant p of s_ip}`; recall at k is the share of ranks
    ≤ k. A tie counts as a miss, so an encoder that maps everything to one point finds nothing.
    Streams over the queries: memory grows with m, not with n·m.

    Raises:
        ValueError: no query has a relevant key.

    >>> from tellapart.relations import paired
    >>> retrieval(torch.eye(4), torch.eye(4).roll(1, 0), paired(), ks=(1, 4)).recall
    {1: 0.0, 4: 1.0}
    """
    check_embeddings("queries", queries)
    check_embeddings("keys", keys)
    relevant.check("relevant", n := len(queries), m := len(keys))
    q, k = unit(queries.float()), unit(keys.float())
    pairs = relevant.pairs(n, m, q.device)
    ranks = []
    for start in range(0, n, _CHUNK):
        rows = slice(start, min(start + _CHUNK, n))
        similar = q[rows] @ k.T
        if pairs is None:
            ranks.append(_ranks(similar, relevant.tile(rows, slice(0, m), q.device) != 0))
        else:
            own = slice(*torch.searchsorted(pairs.rows, torch.tensor([rows.start, rows.stop]).to(pairs.rows)).tolist())
            ranks.append(_ranks_of_pairs(similar, pairs.rows[own] - start, pairs.cols[own]))
    return _summary(torch.cat(ranks), ks)


def _ranks(similar: Float[Tensor, "c m"], related: Bool[Tensor, "c m"]) -> Int[Tensor, " r"]:
    """The ranks of some queries, of those that have a relevant key."""
    best = similar.masked_fill(~related, float("-inf")).amax(dim=1, keepdim=True)
    return (1 + ((similar >= best) & ~related).sum(dim=1))[related.any(dim=1)]


def _ranks_of_pairs(
    similar: Float[Tensor, "c m"], rows: Int[Tensor, " p"], cols: Int[Tensor, " p"]
) -> Int[Tensor, " r"]:
    """The same where the related pairs are listed: no mask as large as the scores."""
    own = similar[rows, cols]
    best = similar.new_full(similar.shape[:1], float("-inf")).scatter_reduce(0, rows, own, "amax")
    equal = torch.bincount(rows[own == best[rows]], minlength=len(best))
    return (1 + (similar >= best[:, None]).sum(dim=1) - equal)[best > float("-inf")]


def chance(relevant: Relation, n: int, m: int, ks: tuple[int, ...] = KS) -> Retrieval:
    """Retrieval by chance: the expected recall and the median rank if all orders are equally likely.

    For a query with r relevant keys among m, `P(rank ≤ k) = 1 − C(m−r, k) / C(m, k)`.

    >>> from tellapart.relations import paired
    >>> chance(paired(), 400, 400).recall[10], chance(paired(), 400, 400).median_rank
    (0.025, 200.0)
    """
    n_relevant = relevant.counts(n, m)[0]
    n_relevant = n_relevant[n_relevant > 0]
    if not len(n_relevant):
        raise ValueError(requirement("relevant", "relate at least one query to a key", "no related pair"))
    found = _found_by(n_relevant, m)
    median = 1 + int((found < 0.5 - 1e-9).sum())
    recall = {k: round(found[min(k, m) - 1].item(), 12) for k in ks}
    return Retrieval(recall, float(median), len(n_relevant))


def both_ways(
    kinds: tuple[str, str],
    relevant: Relation,
    models: dict[str, tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]],
    title: str,
) -> Table:
    """A table of retrieval in both directions: chance, then each model.

    Args:
        kinds: names of the two kinds of items, as in ("picture", "text").
        relevant: which items of the first kind belong to which of the second.
        models: for each model's name, the embeddings of both kinds.
        title: the table's title.
    """
    sizes = [len(side) for side in next(iter(models.values()))]
    rows: list[list[str | float]] = []
    for query, key, related in ((0, 1, relevant), (1, 0, relevant.transposed())):
        results = {"chance": chance(related, sizes[query], sizes[key])}
        results |= {name: retrieval(pair[query], pair[key], related) for name, pair in models.items()}
        for i, (name, result) in enumerate(results.items()):
            direction = f"{kinds[query]} → {kinds[key]}" if i == 0 else ""
            rows.append([direction, name, *result.recall.values(), result.median_rank])
    return Table(title, ["", "", *_HEADER], rows, ["", "", *_FORMATS], [_NOTE])


def found_by(
    relevant: Relation, models: dict[str, tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]], title: str
) -> Table:
    """A table of retrieval in one direction: chance, then each model.

    Args:
        relevant: the relevant keys of each query.
        models: for each model's name, the embeddings of queries and keys.
        title: the table's title.

    >>> from tellapart.relations import paired
    >>> found_by(paired(), {"perfect": (torch.eye(20), torch.eye(20))}, "").cells()
    [['chance', '0.050', '0.250', '0.500', '10'], ['perfect', '1.000', '1.000', '1.000', '1']]
    """
    n, m = map(len, next(iter(models.values())))
    results = {"chance": chance(relevant, n, m)}
    results |= {name: retrieval(queries, keys, relevant) for name, (queries, keys) in models.items()}
    rows: list[list[str | float]] = [[name, *x.recall.values(), x.median_rank] for name, x in results.items()]
    return Table(title, ["", *_HEADER], rows, ["", *_FORMATS], [_NOTE])


def _found_by(n_relevant: Int[Tensor, " n"], m: int) -> Float[Tensor, " m"]:
    """The mean over queries of P(rank ≤ k), for every k from 1 to m."""
    missed = torch.zeros(m, dtype=torch.float64)
    position = torch.arange(m, dtype=torch.float64)
    for r, count in zip(*torch.unique(n_relevant, return_counts=True), strict=True):
        # The probability that the next draw misses, given that all before it missed.
        misses = ((m - position - r.item()) / (m - position)).clamp(min=0)
        missed += misses.cumprod(dim=0) * (count.item() / len(n_relevant))
    return 1 - missed


def _summary(ranks: Int[Tensor, " n"], ks: tuple[int, ...]) -> Retrieval:
    if not len(ranks):
        raise ValueError(requirement("relevant", "relate at least one query to a key", "no related pair"))
    recall = {k: (ranks <= k).double().mean().item() for k in ks}
    return Retrieval(recall, ranks.double().quantile(0.5).item(), len(ranks))
