"""A loss that bears false positives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from tellapart._engine import LineUp, evaluate
from tellapart.errors import requirement
from tellapart.variants.options import LineUpOptions, both_ways

if TYPE_CHECKING:
    from typing import Unpack

    from jaxtyping import Float
    from torch import Tensor


def robust(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    q: float = 0.5,
    density: float = 0.01,
    symmetric: bool = False,
    reduction: str = "mean",
    engine: str = "auto",
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, "..."]:
    """RINCE, robust to false positives: `L_i = −exp(q S⁺)/q + (λ Z_i)^q / q`.

    q → 0 gives InfoNCE (plus log λ), q = 1 a loss that tolerates symmetric noise in the pairs.
    Not in nats. It grows as `exp(q S)`: with float32 keep `q/τ` below 88.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        q: in (0, 1].
        density: λ in (0, 1), the share of noise it should bear.
        symmetric: as for `info_nce`, like the other options.

    Raises:
        ValueError: q or λ out of range, or as `info_nce`.

    Source: Chuang et al. 2022, eq. 4.

    >>> robust(torch.eye(2), torch.eye(2), q=1.0, density=0.5, temperature=1.0)  # −e + (e + 1)/2
    tensor(-0.8591)
    """
    if not 0 < q <= 1:
        raise ValueError(requirement("q", "lie in (0, 1]", q))
    if not 0 < density < 1:
        raise ValueError(requirement("density", "lie in (0, 1)", density))
    terms = evaluate(LineUp.build(queries, keys, **options), symmetric=symmetric, engine=engine)
    sides = [terms] if terms.reverse is None else [terms, terms.reverse]
    # Both less 1, which keeps the digits of a small q.
    losses = [
        (torch.expm1(q * (math.log(density) + side.log_partition)) - torch.expm1(q * side.positive)) / q
        for side in sides
    ]
    return both_ways(terms, losses, reduction)
