"""Negatives that look like positives."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart.diagnostics.bands import bands
from tellapart.diagnostics.hardness import hardest_share
from tellapart.errors import check_embeddings, requirement
from tellapart.relations import same
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from tellapart.objective import Terms
    from tellapart.relations import Ids


class FalseNegatives(NamedTuple):
    """Pairs for a person to judge, the most similar first."""

    rows: Int[Tensor, " k"]
    """The row of each pair's first embedding."""
    cols: Int[Tensor, " k"]
    """The row of each pair's second embedding, larger than the first."""
    scores: Float[Tensor, " k"]
    """The cosine of each pair."""


@torch.no_grad()
def false_negatives(embeddings: Float[Tensor, "n d"], ids: Ids, k: int = 20) -> FalseNegatives:
    """The k pairs of different ids with the highest cosines: likely false negatives.

    Every pair is listed once. Fewer than k are found if fewer have different ids. Scores are computed in bands of
    rows. To keep such pairs from counting as negatives, `negatives.alike` excludes those above a cosine, and
    `negatives.guided` those that a guide finds closer than the positive.

    Args:
        embeddings: `(n, d)`.
        ids: one per row, as for `same`: rows of the same id are positives and never listed.
        k: at least 1.

    Raises:
        TypeError: embeddings that are not floating-point, or ids that are not integers or hashable.
        ValueError: k < 1, not one id per row, or entries that are not finite.

    >>> x = torch.tensor([[1.0, -0.1], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> found = false_negatives(x, ["cat", "cat", "kitten", "car"], k=2)
    >>> found.rows.tolist(), found.cols.tolist()
    ([1, 0], [2, 2])
    """
    check_embeddings("embeddings", embeddings)
    if k < 1:
        raise ValueError(requirement("k", "be at least 1", k))
    known = same(ids)
    known.check("ids", n := len(embeddings), n)
    directions = unit(embeddings if embeddings.dtype == torch.float64 else embeddings.float())
    best, places = directions.new_empty(0), torch.empty(0, dtype=torch.long, device=directions.device)
    for rows, cosines in bands(directions, directions):
        cosines.masked_fill_(known.tile(rows, slice(0, n), cosines.device), -torch.inf)
        candidates = cosines.masked_fill_(_below(cosines, rows.start), -torch.inf).flatten()
        top = candidates.topk(min(k, len(candidates)))
        best, order = torch.cat([best, top.values]).sort(descending=True, stable=True)
        places = torch.cat([places, top.indices + rows.start * n])[order]
        best, places = best[:k], places[:k]
    places = places[best > -torch.inf]
    return FalseNegatives(places // n, places % n, best[: len(places)])


def _below(band: Float[Tensor, "b n"], start: int) -> Tensor:
    """Mask of a band of rows from `start` on: pairs listed before, and rows paired with themselves."""
    rows = torch.arange(start, start + len(band), device=band.device)
    return torch.arange(band.shape[1], device=band.device) <= rows[:, None]


@torch.no_grad()
def suspected(terms: Terms) -> Bool[Tensor, "... n"]:
    """Mask of queries with a suspect negative: it outweighs all other negatives, and scores like a positive.

    It has more than half of the negatives' push (`hardest_share`), and its logit is at least the median positive's.
    No query is suspected while this median is below the hardest negatives of three in four queries, as it is before
    training. A duplicate under another id is found for half of the queries that have one; an ordinary negative seldom
    is. Read from `terms` alone; False for a query with several positives among its candidates.

    >>> from tellapart.objective import info_nce_terms
    >>> x = torch.eye(5)[[0, 1, 2, 3, 3]]  # the last two are duplicates
    >>> suspected(info_nce_terms(x, x, temperature=0.1))
    tensor([False, False, False,  True,  True])
    """
    usual = terms.top_positive.masked_fill(terms.n_positives == 0, torch.nan).nanmedian(-1, keepdim=True).values
    trained = usual >= _quantile(terms.top_negative, 0.25)
    return trained & (hardest_share(terms) > 0.5) & (terms.top_negative >= usual)


def _quantile(values: Float[Tensor, "... n"], share: float) -> Float[Tensor, "... 1"]:
    """`torch.quantile` in four calls, not sixteen: a card waits for the calls of the host."""
    ordered, place = values.sort(-1).values, share * (values.shape[-1] - 1)
    low = int(place)
    high = min(low + 1, values.shape[-1] - 1)
    return ordered[..., low : low + 1].lerp(ordered[..., high : high + 1], place - low)
