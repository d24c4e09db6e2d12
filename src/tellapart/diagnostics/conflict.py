"""Whether two objectives pull the same weights in the same direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import requirement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float


def gradient_cosine(
    first: Float[Tensor, ""], second: Float[Tensor, ""], parameters: Sequence[Tensor]
) -> Float[Tensor, ""]:
    """The cosine of two losses' gradients, over the parameters that both losses depend on.

    `g₁·g₂ / (‖g₁‖ ‖g₂‖)`, in [−1, 1]: below 0 a descent step for one loss raises the other. NaN if the losses share
    no parameter, or if one of the gradients is 0. It takes two backward passes, and keeps the graphs. `.grad` is not
    changed.

    Args:
        first: a loss.
        second: another loss.
        parameters: their gradients are compared; dense, or sparse as those of `nn.EmbeddingBag`.

    Raises:
        ValueError: a loss that is not a scalar, or that has no gradient.

    Source: Yu et al. 2020 (gradient surgery for multi-task learning), definition 1.

    >>> weight = torch.tensor([1.0, 0.0], requires_grad=True)
    >>> gradient_cosine(weight.sum(), -weight[0], [weight])
    tensor(-0.7071)
    """
    for name, loss in (("first", first), ("second", second)):
        if loss.ndim or not loss.requires_grad:
            got = f"shape {tuple(loss.shape)}" if loss.ndim else "one without"
            raise ValueError(requirement(name, "be a scalar with a gradient", got))
    found = [torch.autograd.grad(x, list(parameters), retain_graph=True, allow_unused=True) for x in (first, second)]
    zero = torch.zeros((), dtype=torch.float64, device=first.device)
    inner, lengths = zero, [zero, zero]
    for pair in zip(*found, strict=True):
        if pair[0] is None or pair[1] is None:
            continue
        dense = [(g.to_dense() if g.is_sparse else g).double().flatten() for g in pair]
        inner = inner + dense[0] @ dense[1]
        lengths = [total + g @ g for total, g in zip(lengths, dense, strict=True)]
    return (inner / (lengths[0] * lengths[1]).sqrt()).to(first.dtype)
