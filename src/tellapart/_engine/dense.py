"""The dense engine in general: all scores at once and plain autograd. The reference the others agree with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine.line_up import LineUp
from tellapart._engine.terms import Details, Terms

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Shaped

_NEVER = float("-inf")


def evaluate(line_up: LineUp, multi_positive: str, symmetric: bool, detailed: bool) -> Terms:
    """What the line-up tells each query and, if `symmetric`, each key in turn; details only if they are asked for.

    Formula: `log Z_i = logsumexp_j S_ij` over the candidates j, with S as in `LineUp`. The keys'
    direction reads the same S down its columns.
    """
    m = line_up.n_keys
    logits = line_up.logits()
    if line_up.mined is not None:
        logits = torch.cat([logits, line_up.mined], dim=1)
    rows, cols = slice(0, len(logits)), slice(0, m)
    weights = line_up.positives.tile(rows, cols, logits.device)
    excluded = None
    if line_up.exclude is not None:
        excluded = line_up.exclude.tile(rows, cols, logits.device)
        excluded = excluded if excluded.dtype == torch.bool else excluded > 0
    shift = None if line_up.penalty is None else line_up.penalty.unsqueeze(-1) * (weights > 0)
    reverse = None
    if symmetric:
        turned = [None if x is None else x.T for x in (shift, excluded)]
        reverse = _terms(logits[:, :m].T, turned[0], weights.T, turned[1], multi_positive, detailed)
    if more := logits.shape[1] - m:
        weights = torch.nn.functional.pad(weights, (0, more))
        shift, excluded = (None if x is None else torch.nn.functional.pad(x, (0, more)) for x in (shift, excluded))
    return _terms(logits, shift, weights, excluded, multi_positive, detailed, reverse)


def shares(line_up: LineUp) -> Float[Tensor, "n c"]:
    """How much of its query's softmax each candidate has, `p_ij = exp(S_ij − log Z_i)`; 0 for those excluded.

    Those mined for each query stand behind the others.

    >>> from tellapart._engine.line_up import state
    >>> shares(state(torch.eye(2), torch.eye(2), temperature=1.0))
    tensor([[0.7311, 0.2689],
            [0.2689, 0.7311]])
    """
    logits = line_up.logits()
    rows, keys = slice(0, len(logits)), slice(0, line_up.n_keys)
    if line_up.penalty is not None:
        related = line_up.positives.tile(rows, keys, logits.device) > 0
        lowered = logits[:, keys] - line_up.penalty.unsqueeze(-1) * related
        logits = torch.cat([lowered, logits[:, line_up.n_keys :]], dim=1)
    if line_up.exclude is not None:
        excluded = line_up.exclude.tile(rows, keys, logits.device) > 0
        logits = torch.cat([logits[:, keys].masked_fill(excluded, _NEVER), logits[:, line_up.n_keys :]], dim=1)
    if line_up.mined is not None:
        logits = torch.cat([logits, line_up.mined], dim=1)
    nobody = logits.detach().amax(dim=1, keepdim=True) == _NEVER
    return logits.masked_fill(nobody, 0).softmax(dim=1).masked_fill(nobody, 0)


def _terms(
    logits: Float[Tensor, "n c"],
    shift: Float[Tensor, "n c"] | None,
    weights: Shaped[Tensor, "n c"],
    excluded: Bool[Tensor, "n c"] | None,
    multi_positive: str,
    detailed: bool,
    reverse: Terms | None = None,
) -> Terms:
    related = weights if weights.dtype == torch.bool else weights > 0
    n_positives = related.sum(dim=1)
    details = _details(logits.detach(), related, excluded) if detailed else None
    logits = logits if shift is None else logits - shift
    # Measured from the best candidate, both terms of a small loss are small, and their difference exact.
    candidates = logits.detach() if excluded is None else logits.detach().masked_fill(excluded, _NEVER)
    top = candidates.amax(dim=1)
    nobody = top == _NEVER
    top = top.masked_fill(nobody, 0)
    logits = logits - top[:, None]
    positive = _positive(logits, weights.to(logits.dtype), n_positives, multi_positive)
    log_partition = _logsum(logits if excluded is None else logits.masked_fill(excluded, _NEVER), nobody)
    width = torch.full_like(n_positives, logits.shape[1])
    return Terms(
        positive=positive + top,
        log_partition=log_partition + top,
        cross_entropy=(log_partition - positive).masked_fill(n_positives == 0, 0),
        n_candidates=width if excluded is None else width - excluded.sum(dim=1),
        n_positives=n_positives,
        details=details,
        reverse=reverse,
    )


def _positive(logits: Tensor, weights: Tensor, n_positives: Tensor, multi_positive: str) -> Tensor:
    """The positives' logits, averaged by weight as they are ("out") or as exponentials ("in")."""
    none = n_positives == 0
    total = weights.sum(dim=1).masked_fill(none, 1)
    if multi_positive == "out":
        return (logits * weights).sum(dim=1) / total
    chosen = (logits + weights.log()).masked_fill(weights == 0, _NEVER)
    top = chosen.detach().amax(dim=1).masked_fill(none, 0)
    return (_logsum(chosen - top[:, None], none) + top).masked_fill(none, 0) - total.log()


def _logsum(logits: Tensor, none: Tensor) -> Tensor:
    """`log Σ exp` of each row, shifted already; −∞, and a gradient of zero, where there is `none`."""
    return logits.exp().sum(dim=1).masked_fill(none, 1).log().masked_fill(none, _NEVER)


def _details(logits: Tensor, related: Tensor, excluded: Tensor | None) -> Details:
    inside, others = (related, related) if excluded is None else (related & ~excluded, related | excluded)
    best, hardest = logits.masked_fill(~related, _NEVER), logits.masked_fill(others, _NEVER)
    return Details(inside.sum(dim=1), best.amax(dim=1), hardest.amax(dim=1), hardest.logsumexp(dim=1))
