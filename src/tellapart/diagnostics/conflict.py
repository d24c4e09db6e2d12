"""Whether two objectives pull the same weights in the same direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart.errors import requirement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float


class GradientProducts(NamedTuple):
    """The three inner products of two gradients a and b, in float64, over the weights that both move."""

    aa: Float[Tensor, ""]
    ab: Float[Tensor, ""]
    bb: Float[Tensor, ""]

    def cosine(self) -> Float[Tensor, ""]:
        """`a·b / (‖a‖ ‖b‖)`; NaN if one of them is 0."""
        return self.ab / (self.aa * self.bb).sqrt()

    def ratio(self) -> Float[Tensor, ""]:
        """`‖b‖ / ‖a‖`; infinite or NaN if a is 0."""
        return (self.bb / self.aa).sqrt()


def inner_products(first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> GradientProducts:
    """The inner products of two gradients, given weight by weight; `None` for a weight that a loss does not move.

    Args:
        first: a, a tensor for each weight; dense, or sparse as those of `nn.EmbeddingBag`.
        second: b, for the same weights in the same order.

    Raises:
        ValueError: not as many tensors in `second` as in `first`.

    >>> a, b = [torch.tensor([1.0, 0.0]), torch.ones(3)], [torch.tensor([-2.0, 1.0]), None]
    >>> [product.item() for product in inner_products(a, b)]
    [1.0, -2.0, 5.0]
    """
    device = next((g.device for g in first if g is not None), None)
    aa, ab, bb = torch.zeros(3, dtype=torch.float64, device=device)
    for of_first, of_second in zip(first, second, strict=True):
        if of_first is None or of_second is None:
            continue
        a, b = ((g.to_dense() if g.is_sparse else g).double().flatten() for g in (of_first, of_second))
        aa, ab, bb = aa + a @ a, ab + a @ b, bb + b @ b
    return GradientProducts(aa, ab, bb)


def gradient_products(
    first: Float[Tensor, ""], second: Float[Tensor, ""], parameters: Sequence[Tensor]
) -> GradientProducts:
    """The inner products of two losses' gradients, over the parameters that both losses depend on.

    It takes two backward passes, and keeps the graphs. `.grad` is not changed.

    Args:
        first: a loss; its gradient is a.
        second: another loss; its gradient is b.
        parameters: their gradients are compared; dense, or sparse as those of `nn.EmbeddingBag`.

    Raises:
        ValueError: a loss that is not a scalar, or that has no gradient.

    >>> weight = torch.tensor([1.0, 0.0], requires_grad=True)
    >>> gradient_products(weight.sum(), -2 * weight[0], [weight])
    GradientProducts(aa=tensor(2., dtype=torch.float64), ab=tensor(-2., dtype=torch.float64),
                     bb=tensor(4., dtype=torch.float64))
    """
    for name, loss in (("first", first), ("second", second)):
        if loss.ndim or not loss.requires_grad:
            got = f"shape {tuple(loss.shape)}" if loss.ndim else "one without"
            raise ValueError(requirement(name, "be a scalar with a gradient", got))
    weights = list(parameters)
    a, b = (torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True) for loss in (first, second))
    return inner_products(a, b)


def gradient_cosine(
    first: Float[Tensor, ""], second: Float[Tensor, ""], parameters: Sequence[Tensor]
) -> Float[Tensor, ""]:
    """The cosine of two losses' gradients, over the parameters that both losses depend on.

    `a·b / (‖a‖ ‖b‖)`, in [−1, 1]: below 0 a small enough descent step for one loss raises the other. NaN if the losses
    share no parameter, or if one of the gradients is 0.

    Negative cosines alone do not show that two losses are at odds: see docs/harmony.md.

    Args:
        first: a loss; its gradient is a.
        second: another loss; its gradient is b.
        parameters: their gradients are compared.

    Raises:
        ValueError: as `gradient_products`.

    Source: Yu et al. 2020 (gradient surgery for multi-task learning), definition 1.

    >>> weight = torch.tensor([1.0, 0.0], requires_grad=True)
    >>> gradient_cosine(weight.sum(), -weight[0], [weight])
    tensor(-0.7071)
    """
    return gradient_products(first, second, parameters).cosine().to(first.dtype)
