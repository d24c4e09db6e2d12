"""One positive each and all scores at once: plain softmax cross-entropy, the fastest way when small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tellapart.partition.sides import n_candidates
from tellapart.partition.terms import Details, Terms

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.partition.line_up import LineUp
    from tellapart.relations import Pairs


def one_positive_each(line_up: LineUp, symmetric: bool) -> tuple[Pairs, Pairs | None] | None:
    """Pairs and exclusions of a line-up in which each query has one positive, as it is, and each key if they ask.

    `None` if it is another, or if it would take time to tell.

    >>> from tellapart.partition.line_up import state
    >>> from tellapart.relations import paired
    >>> line_up = state(torch.eye(2), torch.eye(2))
    >>> one_positive_each(line_up, symmetric=True)[0].cols.tolist()
    [0, 1]
    """
    positives, exclude = line_up.positives, line_up.exclude
    if not positives.listed or line_up.penalty is not None or line_up.mined is not None:
        return None
    n, m = line_up.queries.shape[0], line_up.n_keys
    pairs = positives.pairs(n, m, line_up.queries.device)
    if pairs is None or not pairs.one_each or (symmetric and not (pairs.diagonal and n == m)):
        return None
    if exclude is None:
        return pairs, None
    excluded = exclude.pairs(n, m, line_up.queries.device) if exclude.listed else None
    if excluded is None:
        return None
    apart = excluded.diagonal and pairs.off_diagonal
    return (pairs, excluded) if apart or not bool(exclude.at(pairs.rows, pairs.cols).any()) else None


def classify(line_up: LineUp, pairs: Pairs, excluded: Pairs | None, symmetric: bool, detailed: bool) -> Terms:
    """The terms of such a line-up: `L_i = cross-entropy of S_i against its positive`.

    >>> from tellapart.partition.line_up import state
    >>> from tellapart.relations import paired
    >>> line_up = state(torch.eye(2), torch.eye(2), temperature=1.0)
    >>> classify(line_up, paired().pairs(2, 2), None, symmetric=False, detailed=False).cross_entropy
    tensor([0.3133, 0.3133])
    """
    logits = _without(line_up.scaled_queries() @ line_up.keys.T, excluded)
    positive = logits[pairs.rows, pairs.cols]
    negatives = _without(logits.detach().clone(), pairs) if detailed else None
    candidates = n_candidates(line_up)

    def terms(side: int, logits: Tensor, negatives: Tensor | None, reverse: Terms | None) -> Terms:
        loss, one = cross_entropy(logits, pairs.cols, reduction="none"), torch.ones_like(pairs.rows)
        details = None if negatives is None else Details(one, positive.detach(), negatives.amax(dim=1))
        return Terms(positive, positive + loss, loss, candidates[side], one, details, reverse)

    m = line_up.n_keys
    turned = None if negatives is None else negatives[:, :m].T
    reverse = terms(1, logits[:, :m].T, turned, None) if symmetric else None
    return terms(0, logits, negatives, reverse)


def classification_loss(
    line_up: LineUp, pairs: Pairs, excluded: Pairs | None, symmetric: bool, reduction: str
) -> Float[Tensor, "..."]:
    """`classify(...).loss(reduction)`, and nothing besides.

    >>> from tellapart.partition.line_up import state
    >>> from tellapart.relations import paired
    >>> line_up = state(torch.eye(2), torch.eye(2), temperature=1.0)
    >>> classification_loss(line_up, paired().pairs(2, 2), None, symmetric=True, reduction="mean")
    tensor(0.3133)
    """
    logits = _without(line_up.scaled_queries() @ line_up.keys.T, excluded)
    own = cross_entropy(logits, pairs.cols, reduction=reduction)
    if not symmetric:
        return own
    other = cross_entropy(logits[:, : line_up.n_keys].T, pairs.cols, reduction=reduction)
    return torch.cat([own, other]) if reduction == "none" else (own + other) / 2


def _without(logits: Tensor, left_out: Pairs | None) -> Tensor:
    """The logits, −∞ for those left out; of the diagonal, which is the commonest, in place."""
    if left_out is None:
        return logits
    if left_out.diagonal and len(left_out.rows) == logits.shape[0]:
        return logits.fill_diagonal_(-torch.inf)
    return logits.index_put((left_out.rows, left_out.cols), torch.full((), -torch.inf).to(logits))
