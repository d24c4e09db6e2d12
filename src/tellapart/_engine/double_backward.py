"""Second derivatives of what is streamed: through the whole score matrix, as a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tellapart._engine.candidates import Candidates
from tellapart._engine.factors import Factors
from tellapart._engine.kernels.accumulators import SOFTPLUS_THRESHOLD, Form
from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.precision import full_precision

if TYPE_CHECKING:
    from jaxtyping import Float


@full_precision
def gradients(
    factors: Factors, candidates: Candidates, upstream: tuple[Tensor, ...], form: Form
) -> tuple[Tensor | None, ...]:
    """The gradients of sums per row, and perhaps per column, with a graph of their own: those of the four factors.

    >>> q, k = torch.zeros(2, 1, requires_grad=True), torch.ones(3, 1)
    >>> gradients(Factors(q, k, 1.0), Candidates(2, 3, 3), (torch.ones(2),), "exp")[0].requires_grad
    True
    """
    with torch.enable_grad():
        # The upstream gradients may depend on the same vectors; here they are constants: hence the aliases.
        made = factors._replace(
            queries=factors.queries.view_as(factors.queries),
            keys=factors.keys.view_as(factors.keys),
            scale=_alias(factors.scale),
            key_scale=_alias(factors.key_scale),
        )
        logits = _masked(made.scaled_queries() @ made.scaled_keys().T, candidates)
        sums = _sum(logits, 1, form), _sum(logits[:, : candidates.m], 0, form)
        totals = [(x * gradient).sum() for x, gradient in zip(sums, upstream, strict=False)]
        aliases = [x if isinstance(x, Tensor) and x.requires_grad else None for x in made[:4]]
        found = iter(torch.autograd.grad(totals, [x for x in aliases if x is not None], create_graph=True))
    return tuple(None if x is None else next(found) for x in aliases)


def _alias(scale: float | Tensor | None) -> Any:
    return scale.view_as(scale) if isinstance(scale, Tensor) else scale


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
