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
    """Pairs that a person should judge, the most alike first."""

    rows: Int[Tensor, " k"]
    """One of each pair, by its place."""
    cols: Int[Tensor, " k"]
    """The other, which stands behind it."""
    scores: Float[Tensor, " k"]
    """Their cosine."""


@torch.no_grad()
def false_negatives(embeddings: Float[Tensor, "n d"], ids: Ids, k: int = 20) -> FalseNegatives:
    """The k pairs of different id whose embeddings are most alike, by cosine: counterparts, perhaps, in truth.

    Every pair is named once; fewer than k are found if there are fewer with different ids. Scores pass band by
    band. To keep such pairs out of a line-up, `negatives.alike` excludes those above a cosine and
    `negatives.guided` those that a guide finds closer than the counterpart.

    Args:
        embeddings: `(n, d)`.
        ids: one per row, as for `same`: who is known to be a counterpart is no suspect.
        k: at least 1.

    Raises:
        TypeError: embeddings that are not floating-point, or ids that are not integers or hashable.
        ValueError: k < 1, ids that are not as many, or entries that are not finite.

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
    """Where a band of rows from `start` on names a pair for the second time, or one with itself."""
    rows = torch.arange(start, start + len(band), device=band.device)
    return torch.arange(band.shape[1], device=band.device) <= rows[:, None]


@torch.no_grad()
def suspected(terms: Terms) -> Bool[Tensor, " n"]:
    """Whose hardest negative looks like a counterpart: it stands out from all others, and scores like one.

    It has more than half of the negatives' push (`hardest_share`), and its logit is at least the median of the
    counterparts'; nobody is suspected as long as these are below three in four of the hardest negatives, as before
    training. A twin under another id does so for half of those that have one; the crowd's hardest member seldom does.
    Read from `terms` alone; no for a query with several positives in its line-up.

    >>> from tellapart.objective import info_nce_terms
    >>> x = torch.eye(5)[[0, 1, 2, 3, 3]]  # the last two are twins
    >>> suspected(info_nce_terms(x, x, temperature=0.1))
    tensor([False, False, False,  True,  True])
    """
    usual = terms.top_positive[terms.n_positives > 0].median()
    stand_out = usual >= terms.top_negative.quantile(0.25)
    return stand_out & (hardest_share(terms) > 0.5) & (terms.top_negative >= usual)
