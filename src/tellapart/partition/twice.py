"""`log Z` through the whole score matrix, as a graph that can be differentiated any number of times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.partition.crowd import Crowd

if TYPE_CHECKING:
    from jaxtyping import Float

_NEVER = float("-inf")


def gradients(
    queries: Float[Tensor, "n e"], keys: Float[Tensor, "c e"], crowd: Crowd, upstream: tuple[Tensor, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """What `upstream`, per row and perhaps per column, makes of `log Z`: the gradients, with a graph of their own.

    >>> q, k = torch.zeros(2, 1, requires_grad=True), torch.ones(3, 1)
    >>> gradients(q, k, Crowd(2, 3, 3), (torch.ones(2),))[0].requires_grad
    True
    """
    with torch.enable_grad():
        # The upstream gradients may depend on the same vectors; here they are constants: hence the aliases.
        aliases = [x.view_as(x) for x in (queries, keys)]
        logits = _sifted(aliases[0] @ aliases[1].T, crowd)
        logs = _logsumexp(logits, 1), _logsumexp(logits[:, : crowd.m], 0)
        totals = [(log * gradient).sum() for log, gradient in zip(logs, upstream, strict=False)]
        found = iter(torch.autograd.grad(totals, [x for x in aliases if x.requires_grad], create_graph=True))
    return next(found) if queries.requires_grad else None, next(found) if keys.requires_grad else None


def _sifted(logits: Tensor, crowd: Crowd) -> Tensor:
    """−∞ for those left out; the logarithm of a weight added for the others."""
    for pairs in crowd.left_out:
        logits = logits.flatten().index_fill(0, pairs.rows * crowd.c + pairs.cols, _NEVER).view_as(logits)
    if crowd.among is None:
        return logits
    weights = crowd.among.tile(slice(0, crowd.n), slice(0, crowd.m), logits.device)
    kept = logits[:, : crowd.m]
    kept = kept.masked_fill(~weights, _NEVER) if weights.dtype == torch.bool else kept + weights.to(logits).log()
    return torch.cat([kept, logits[:, crowd.m :]], dim=1)


def _logsumexp(logits: Tensor, dim: int) -> Tensor:
    """`logsumexp`; 0, and a gradient of zero, where all are −∞."""
    none = logits.detach().amax(dim, keepdim=True) == _NEVER
    return logits.masked_fill(none, 0).logsumexp(dim).masked_fill(none.squeeze(dim), 0)
