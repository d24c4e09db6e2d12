"""Second derivatives of what is streamed: through the whole score matrix, as a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels.accumulators import SOFTPLUS_THRESHOLD, Form
from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.precision import full_precision

if TYPE_CHECKING:
    from jaxtyping import Float


@full_precision
def gradients(
    queries: Float[Tensor, "n e"],
    keys: Float[Tensor, "c e"],
    scale: float | Float[Tensor, ""],
    candidates: Candidates,
    upstream: tuple[Tensor, ...],
    form: Form,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of sums per row, and perhaps per column, with a graph of their own.

    >>> q, k = torch.zeros(2, 1, requires_grad=True), torch.ones(3, 1)
    >>> gradients(q, k, 1.0, Candidates(2, 3, 3), (torch.ones(2),), "exp")[0].requires_grad
    True
    """
    with torch.enable_grad():
        # The upstream gradients may depend on the same vectors; here they are constants: hence the aliases.
        given = [queries, keys, *([scale] if isinstance(scale, Tensor) else [])]
        aliases = [x.view_as(x) for x in given]
        logits = _masked((aliases[2] if len(aliases) == 3 else scale) * aliases[0] @ aliases[1].T, candidates)
        sums = _sum(logits, 1, form), _sum(logits[:, : candidates.m], 0, form)
        totals = [(x * gradient).sum() for x, gradient in zip(sums, upstream, strict=False)]
        found = iter(torch.autograd.grad(totals, [x for x in aliases if x.requires_grad], create_graph=True))
    each = [next(found) if x.requires_grad else None for x in aliases]
    return each[0], each[1], each[2] if len(each) == 3 else None


def _masked(logits: Tensor, candidates: Candidates) -> Tensor:
    """−∞ for what is no candidate; the logarithm of a weight added for the others."""
    for pairs in candidates.left_out:
        places = pairs.rows * candidates.c + pairs.cols
        logits = logits.flatten().index_fill(0, places, MASKED).view_as(logits)
    if candidates.among is None:
        return logits
    weights = candidates.among.tile(slice(0, candidates.n), slice(0, candidates.m), logits.device)
    kept = logits[:, : candidates.m]
    is_boolean = weights.dtype == torch.bool
    kept = kept.masked_fill(~weights, MASKED) if is_boolean else kept + weights.to(logits).log()
    return torch.cat([kept, logits[:, candidates.m :]], dim=1)


def _sum(logits: Float[Tensor, "n c"], dim: int, form: Form) -> Float[Tensor, " n"]:
    """`log Σ exp`, 0 and a gradient of zero where all are −∞; or the sum of softplus."""
    if form == "softplus":
        return softplus(logits, threshold=SOFTPLUS_THRESHOLD).sum(dim)
    none = logits.detach().amax(dim, keepdim=True) == MASKED
    return logits.masked_fill(none, 0).logsumexp(dim).masked_fill(none.squeeze(dim), 0)
