"""Second derivatives of what is streamed: through the whole score matrix, as a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine.crowd import Crowd
from tellapart._engine.precision import full_precision

if TYPE_CHECKING:
    from jaxtyping import Float

Summary = Callable[[Tensor, int], Tensor]
_NEVER = float("-inf")


@full_precision
def gradients(
    queries: Float[Tensor, "n e"],
    keys: Float[Tensor, "c e"],
    scale: float | Float[Tensor, ""],
    crowd: Crowd,
    upstream: tuple[Tensor, ...],
    summary: Summary,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """What `upstream`, per row and perhaps per column, makes of a summary: gradients with a graph of their own.

    >>> q, k = torch.zeros(2, 1, requires_grad=True), torch.ones(3, 1)
    >>> gradients(q, k, 1.0, Crowd(2, 3, 3), (torch.ones(2),), logsumexp)[0].requires_grad
    True
    """
    with torch.enable_grad():
        # The upstream gradients may depend on the same vectors; here they are constants: hence the aliases.
        given = [queries, keys, *([scale] if isinstance(scale, Tensor) else [])]
        aliases = [x.view_as(x) for x in given]
        logits = _sifted((aliases[2] if len(aliases) == 3 else scale) * aliases[0] @ aliases[1].T, crowd)
        found = summary(logits, 1), summary(logits[:, : crowd.m], 0)
        totals = [(x * gradient).sum() for x, gradient in zip(found, upstream, strict=False)]
        both = iter(torch.autograd.grad(totals, [x for x in aliases if x.requires_grad], create_graph=True))
    each = [next(both) if x.requires_grad else None for x in aliases]
    return each[0], each[1], each[2] if len(each) == 3 else None


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


def logsumexp(logits: Float[Tensor, "n c"], dim: int) -> Float[Tensor, " n"]:
    """`log Σ exp`; 0, and a gradient of zero, where all are −∞.

    >>> logsumexp(torch.full((1, 2), -torch.inf), 1)
    tensor([0.])
    """
    none = logits.detach().amax(dim, keepdim=True) == _NEVER
    return logits.masked_fill(none, 0).logsumexp(dim).masked_fill(none.squeeze(dim), 0)
