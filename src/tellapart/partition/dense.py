"""The dense engine: all scores at once, plain autograd, any dtype. The reference, and best when small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.partition.line_up import LineUp
from tellapart.partition.terms import Terms

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_NEVER = float("-inf")


def evaluate(line_up: LineUp, multi_positive: str, symmetric: bool) -> Terms:
    """What the line-up tells each query and, if `symmetric`, each key in turn.

    Formula: `log Z_i = logsumexp_j S_ij` over the candidates j, with S as in `LineUp`. The keys'
    direction reads the same S down its columns.
    """
    m = line_up.n_keys
    logits, weights, candidates = _matrices(line_up)
    shift = None if not line_up.margin else line_up.margin * line_up.scale.unsqueeze(-1) * (weights > 0)
    reverse = None
    if symmetric:
        columns = None if shift is None else shift[:, :m].T
        reverse = _terms(logits[:, :m].T, columns, weights[:, :m].T, candidates[:, :m].T, multi_positive)
    return _terms(logits, shift, weights, candidates, multi_positive, reverse)


def _matrices(line_up: LineUp) -> tuple[Tensor, Tensor, Tensor]:
    """Logits without margin, positive weights and who is a candidate, each (n, m + negatives)."""
    product, m = line_up.product, line_up.n_keys
    scores = product.queries @ product.keys.T
    if product.query_bias is not None:
        scores = scores + product.query_bias[:, None]
    if product.key_bias is not None:
        scores = scores + product.key_bias
    scale = line_up.scale.unsqueeze(-1)
    logits = scores * scale
    if line_up.key_bias is not None:
        logits = logits + line_up.key_bias
    if line_up.mined is not None:
        logits = torch.cat([logits, line_up.mined * scale], dim=1)
    rows, cols = slice(0, logits.shape[0]), slice(0, m)
    weights = line_up.positives.tile(rows, cols, logits.device).to(logits.dtype)
    candidates = torch.ones_like(logits, dtype=torch.bool)
    if line_up.exclude is not None:
        candidates[:, :m] = line_up.exclude.tile(rows, cols, logits.device) == 0
    return logits, torch.nn.functional.pad(weights, (0, logits.shape[1] - m)), candidates


def _terms(
    logits: Float[Tensor, "n c"],
    shift: Float[Tensor, "n c"] | None,
    weights: Float[Tensor, "n c"],
    candidates: Bool[Tensor, "n c"],
    multi_positive: str,
    reverse: Terms | None = None,
) -> Terms:
    related, frozen = weights > 0, logits.detach()
    # Measured from the best candidate, both terms of a small loss are small, and their difference exact.
    top = frozen.masked_fill(~candidates, _NEVER).amax(dim=1)
    top = top.masked_fill(top == _NEVER, 0)
    logits = (logits if shift is None else logits - shift) - top[:, None]
    log_partition = _logsumexp(logits, candidates)
    positive = _positive(logits, weights, related, multi_positive)
    return Terms(
        positive=positive + top,
        log_partition=log_partition + top,
        cross_entropy=torch.where(related.any(dim=1), log_partition - positive, 0),
        n_candidates=candidates.sum(dim=1),
        n_positives=related.sum(dim=1),
        n_positive_candidates=(related & candidates).sum(dim=1),
        top_positive=frozen.masked_fill(~related, _NEVER).amax(dim=1),
        top_negative=frozen.masked_fill(related | ~candidates, _NEVER).amax(dim=1),
        reverse=reverse,
    )


def _positive(logits: Tensor, weights: Tensor, related: Tensor, multi_positive: str) -> Tensor:
    """The positives' logits, averaged by weight as they are ("out") or as exponentials ("in")."""
    total = weights.sum(dim=1)
    some = torch.where(total > 0, total, 1)
    if multi_positive == "out":
        return (logits.masked_fill(~related, 0) * weights).sum(dim=1) / some
    return _logsumexp(logits + torch.where(related, weights, 1).log(), related) - some.log()


def _logsumexp(logits: Tensor, among: Tensor) -> Tensor:
    """`logsumexp` over the chosen entries of each row; −inf, and a gradient of zero, where none is."""
    none = ~among.any(dim=1)
    # A row of −inf only would give a NaN gradient: such rows are filled with zeros, then replaced.
    chosen = logits.masked_fill(~among, _NEVER).masked_fill(none[:, None], 0)
    return chosen.logsumexp(dim=1).masked_fill(none, _NEVER)
