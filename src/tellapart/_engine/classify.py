"""One positive each and all scores at once: plain softmax cross-entropy, the fastest way when small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tellapart._engine.sides import n_candidates
from tellapart._engine.terms import Details, Terms

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart._engine.line_up import LineUp
    from tellapart.relations import Pairs, Relation


def one_positive_each(line_up: LineUp, symmetric: bool) -> Pairs | None:
    """The pairs of a line-up in which each query has one positive, as it is, and each key if they ask.

    `None` if it is another, or if it would take time to tell.

    >>> from tellapart._engine.line_up import state
    >>> one_positive_each(state(torch.eye(2), torch.eye(2)), symmetric=True).cols.tolist()
    [0, 1]
    """
    positives, exclude = line_up.positives, line_up.exclude
    if not positives.listed or line_up.penalty is not None or line_up.mined is not None:
        return None
    n, m = line_up.queries.shape[0], line_up.n_keys
    if symmetric and not (positives.diagonal and n == m):
        return None
    pairs = positives.pairs(n, m, line_up.queries.device)
    if pairs is None or not pairs.one_each:
        return None
    apart = exclude is None or positives.avoids(exclude) or not bool(exclude.at(pairs.rows, pairs.cols).any())
    return pairs if apart else None


def classify(line_up: LineUp, pairs: Pairs, symmetric: bool, detailed: bool) -> Terms:
    """The terms of such a line-up: `L_i = cross-entropy of S_i against its positive`.

    >>> from tellapart._engine.line_up import state
    >>> from tellapart.relations import paired
    >>> line_up = state(torch.eye(2), torch.eye(2), temperature=1.0)
    >>> classify(line_up, paired().pairs(2, 2), symmetric=False, detailed=False).cross_entropy
    tensor([0.3133, 0.3133])
    """
    logits = _admitted(line_up)
    positive = logits[pairs.rows, pairs.cols]
    negatives = logits.detach().index_put((pairs.rows, pairs.cols), logits.new_tensor(-torch.inf)) if detailed else None
    candidates = n_candidates(line_up)

    def terms(side: int, logits: Tensor, negatives: Tensor | None, reverse: Terms | None) -> Terms:
        loss, one = cross_entropy(logits, pairs.cols, reduction="none"), torch.ones_like(pairs.rows)
        details = None
        if negatives is not None:
            details = Details(one, positive.detach(), negatives.amax(dim=1), negatives.logsumexp(dim=1))
        return Terms(positive, positive + loss, loss, candidates[side], one, details, reverse)

    m = line_up.n_keys
    turned = None if negatives is None else negatives[:, :m].T
    reverse = terms(1, logits[:, :m].T, turned, None) if symmetric else None
    return terms(0, logits, negatives, reverse)


def classification_loss(line_up: LineUp, pairs: Pairs, symmetric: bool, reduction: str) -> Float[Tensor, "..."]:
    """`classify(...).loss(reduction)`, and nothing besides.

    >>> from tellapart._engine.line_up import state
    >>> from tellapart.relations import paired
    >>> line_up = state(torch.eye(2), torch.eye(2), temperature=1.0)
    >>> classification_loss(line_up, paired().pairs(2, 2), symmetric=True, reduction="mean")
    tensor(0.3133)
    """
    logits = _admitted(line_up)
    own = cross_entropy(logits, pairs.cols, reduction=reduction)
    if not symmetric:
        return own
    other = cross_entropy(logits[:, : line_up.n_keys].T, pairs.cols, reduction=reduction)
    return torch.cat([own, other]) if reduction == "none" else (own + other) / 2


def _admitted(line_up: LineUp) -> Tensor:
    """The logits, −∞ for those excluded."""
    logits = line_up.logits()
    return logits if line_up.exclude is None else left_out(logits, line_up.exclude, line_up.n_keys, -torch.inf)


def left_out(logits: Float[Tensor, "n c"], exclude: Relation, m: int, value: float) -> Float[Tensor, "n c"]:
    """The same logits with `value` for those excluded, written in place and unknown to autograd.

    A softmax that has 0 there has no gradient there, whatever the logit's history.

    >>> from tellapart.relations import paired
    >>> left_out(torch.ones(2, 2), paired(), 2, -9.0)
    tensor([[-9.,  1.],
            [ 1., -9.]])
    """
    among = logits.detach()
    among = among if m == among.shape[1] else among[:, :m]
    if exclude.diagonal:
        among.fill_diagonal_(value)
    else:
        among.masked_fill_(exclude.tile(slice(0, among.shape[0]), slice(0, m), among.device) > 0, value)
    return logits
