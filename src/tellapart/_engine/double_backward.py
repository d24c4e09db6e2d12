"""Second derivatives: through the whole score matrix, as a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def of_loss(
    loss: Callable[..., Tensor], inputs: Sequence[Tensor | None], needs: Sequence[bool], upstream: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients of a loss, times an upstream gradient, with a graph of their own: those of the inputs that need it.

    >>> x = torch.ones(2, requires_grad=True)
    >>> of_loss(lambda x, _: x.square().sum(), (x, None), (True, False), torch.tensor(3.0))[0].grad_fn is None
    False
    """
    with torch.enable_grad():
        # By aliases, the upstream gradient counts as a constant, even where it depends on the same vectors.
        aliases = [_alias(x) for x in inputs]
        value = loss(*aliases)
        needed = [x for x, is_needed in zip(aliases, needs, strict=True) if is_needed and x is not None]
        # Of one number the upstream gradient may be a batch of several.
        found = torch.autograd.grad(value, needed, upstream if value.ndim else None, create_graph=True)
    each = iter(found if value.ndim else [x * upstream for x in found])
    return tuple(next(each) if is_needed else None for is_needed in needs)


def cut(
    candidates: Tensor | None, n_own: int, keys: Tensor | None, further: Tensor | None, *, is_one: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Keys, and candidates behind them: those kept with a graph, or else what is of them among all candidates.

    A node keeps no other vectors beside its candidates: a queue may be written to before the backward pass. Keys that
    are the queries stay `None`.

    >>> cut(torch.eye(3), 2, None, None, is_one=True)
    (None, tensor([[0., 0., 1.]]))
    """
    if candidates is not None:
        if keys is None and not is_one:
            keys = candidates[:n_own]
        if further is None and len(candidates) > n_own:
            further = candidates[n_own:]
    return keys, further


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
