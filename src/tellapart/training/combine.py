"""One direction out of two gradients, by a rule: their sum, PCGrad, a gate or UPGrad, each in closed form.

With a the gradient of a main loss and b that of another, every rule is `x a + y b`. Its coefficients depend on three
numbers alone, a·a, a·b and b·b:

| rule | x, y if a·b < 0 | x, y otherwise | at odds, to first order, with |
|---|---|---|---|
| `sum` | 1, 1 | 1, 1 | either |
| `pcgrad` | 1 − a·b / a·a, 1 − a·b / b·b | 1, 1 | neither |
| `gate` | 1, 0 | 1, 1 | perhaps b, never a |
| `upgrad` | half of PCGrad's | 1/2, 1/2 | neither |

PCGrad projects each gradient onto the plane orthogonal to the other, and adds both. UPGrad projects each onto the cone
of the directions at odds with neither gradient, and takes the mean. With two gradients these are the same projections,
so 2·UPGrad = PCGrad. An optimizer that divides by the gradient's length, such as Adam, hardly tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch

from tellapart.diagnostics import GradientProducts
from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Rule = Literal["sum", "pcgrad", "gate", "upgrad"]
RULES: tuple[str, ...] = get_args(Rule)


def coefficients(products: GradientProducts, rule: str) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The coefficients x and y of the direction `x a + y b`.

    Args:
        products: a·a, a·b and b·b, with a the gradient of the main loss.
        rule: one of `RULES`.

    Raises:
        ValueError: another rule.

    Source: PCGrad, Yu et al. 2020 (https://arxiv.org/abs/2001.06782), algorithm 1; the gate, Du et al. 2018
    (https://arxiv.org/abs/1812.02224), the unweighted version; UPGrad, Quinton & Rey 2024
    (https://arxiv.org/abs/2406.16232).

    >>> a, b = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    >>> x, y = coefficients(GradientProducts(a @ a, a @ b, b @ b), "pcgrad")
    >>> x * a + y * b  # a without its part along b is (1/2, 1/2), b without its part along a is (0, 1)
    tensor([0.5000, 1.5000])
    """
    if rule not in RULES:
        raise ValueError(requirement("rule", f"be one of {', '.join(RULES)}", repr(rule)))
    aa, ab, bb = products
    one = torch.ones_like(ab)
    conflict = ab < 0
    if rule == "sum":
        return one, one
    if rule == "gate":
        return one, torch.where(conflict, 0.0, one)
    share = 1.0 if rule == "pcgrad" else 0.5
    return share * torch.where(conflict, 1 - ab / aa, one), share * torch.where(conflict, 1 - ab / bb, one)


def combine(
    first: Sequence[Tensor | None], second: Sequence[Tensor | None], products: GradientProducts, rule: str
) -> list[Tensor | None]:
    """The combined gradient, weight by weight; a weight that only one loss moves keeps that loss's gradient.

    Args:
        first: a, the main loss's gradient of each weight, or `None`.
        second: b, the other's.
        products: those of a and b, of `inner_products(first, second)`.
        rule: one of `RULES`.

    Raises:
        ValueError: another rule, or not as many tensors in `second` as in `first`.

    >>> from tellapart.diagnostics import inner_products
    >>> a, b = [torch.tensor([2.0]), torch.tensor([5.0]), None], [torch.tensor([-1.0]), None, torch.tensor([7.0])]
    >>> combine(a, b, inner_products(a, b), "gate")
    [tensor([2.]), tensor([5.]), tensor([7.])]
    """
    x, y = coefficients(products, rule)
    return [
        (b if a is None else a) if a is None or b is None else x.to(a.dtype) * a + y.to(b.dtype) * b
        for a, b in zip(first, second, strict=True)
    ]
