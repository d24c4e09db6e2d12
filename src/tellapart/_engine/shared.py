"""Several positives that share the target, and all scores at once: cross-entropy against their shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from tellapart._engine.classify import left_out
from tellapart._engine.terms import nobody_has_a_positive
from tellapart.errors import values_are_checked

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

    from tellapart._engine.line_up import LineUp


def share_the_target(line_up: LineUp, multi_positive: str) -> bool:
    """Whether the loss is a cross-entropy against shares, and no positive is excluded for certain.

    >>> from tellapart._engine.line_up import state
    >>> share_the_target(state(torch.eye(2), torch.eye(2)), "out")
    True
    """
    if multi_positive != "out" or line_up.penalty is not None or line_up.mined is not None:
        return False
    return line_up.exclude is None or line_up.positives.avoids(line_up.exclude)


def shared_loss(line_up: LineUp, symmetric: bool, reduction: str) -> Float[Tensor, "..."]:
    """The loss of such a line-up, `L_i = −Σ_j (w_ij / Σ_k w_ik) log p_ij`, 0 for a query without a positive.

    Raises:
        ValueError: nobody has a positive.

    >>> from tellapart._engine.line_up import state
    >>> from tellapart.relations import everyone
    >>> shared_loss(state(torch.eye(2), torch.eye(2), temperature=1.0, positives=everyone()), False, "mean")
    tensor(0.8133)
    """
    logits = line_up.logits()
    n, m = logits.shape[0], line_up.n_keys
    weights = line_up.positives.tile(slice(0, n), slice(0, m), logits.device)
    if line_up.exclude is not None:
        # Not −∞, for its product with a share of 0 has to be 0.
        logits = left_out(logits, line_up.exclude, m, torch.finfo(logits.dtype).min / 2)
    own = _against_shares(logits, weights, "query", "key", reduction)
    if not symmetric:
        return own
    other = _against_shares(logits[:, :m].T, weights.T, "key", "query", reduction)
    return torch.cat([own, other]) if reduction == "none" else (own + other) / 2


def _against_shares(
    logits: Float[Tensor, "n c"], weights: Shaped[Tensor, "n m"], who: str, other: str, reduction: str
) -> Tensor:
    weights = weights.to(torch.promote_types(weights.dtype, logits.dtype))
    total = weights.sum(dim=1, keepdim=True)
    asking = torch.count_nonzero(total)
    if values_are_checked(logits) and not asking:
        raise nobody_has_a_positive(who, other)
    shares = weights.div(total.clamp_(min=torch.finfo(total.dtype).tiny)).to(logits.dtype)
    if more := logits.shape[1] - shares.shape[1]:
        shares = pad(shares, (0, more))
    log_p = logits.log_softmax(dim=1)
    if reduction == "none":
        return -(shares * log_p).sum(dim=1)
    loss = (shares * log_p).sum()
    return loss / -asking if reduction == "mean" else -loss
