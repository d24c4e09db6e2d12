"""The geometry of embeddings: the direction of their gradients, alignment, uniformity and rank."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart.errors import check_embeddings, requirement
from tellapart.objective import info_nce_terms
from tellapart.relations import paired
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float


class TurnAndStretch(NamedTuple):
    """A gradient in two parts, `g = turn + stretch · v/‖v‖`."""

    turn: Float[Tensor, "n d"]
    """The part orthogonal to the vector: it changes the vector's direction."""
    stretch: Float[Tensor, " n"]
    """`g·v/‖v‖`, how the loss changes with the vector's length; if negative, a descent step lengthens the vector."""


def turn_and_stretch(vectors: Float[Tensor, "n d"], gradients: Float[Tensor, "n d"]) -> TurnAndStretch:
    """Split the gradient of vectors, before any normalisation, into its parts orthogonal to and along them.

    With cosine scores a loss does not depend on lengths: the stretch is 0, and a vector c times as long has 1/c of
    the turn. With dot products `stretch_i ‖q_i‖ = Σ_j p_ij S_ij − S_i⁺ = L_i − H_i` (plus any biases), where H is the
    entropy of the shares p. So a query grows exactly if its loss is below that entropy: its positive's logit is then
    above the softmax-weighted mean of the logits. Otherwise it shrinks.

    A zero vector has no direction: its whole gradient is turn.

    Args:
        vectors: `(n, d)`, as they entered the loss.
        gradients: the loss's gradient with respect to these, such as `forces(...).gradient` or `vectors.grad`.

    Raises:
        TypeError: not floating-point tensors.
        ValueError: shapes that differ, or entries that are not finite.

    >>> turn_and_stretch(torch.tensor([[2.0, 0.0]]), torch.tensor([[-3.0, 4.0]]))
    TurnAndStretch(turn=tensor([[0., 4.]]), stretch=tensor([-3.]))
    """
    check_embeddings("vectors", vectors)
    check_embeddings("gradients", gradients)
    if gradients.shape != vectors.shape:
        raise ValueError(requirement("gradients", f"have the vectors' shape, {tuple(vectors.shape)}", gradients.shape))
    directions = unit(vectors)
    stretch = (gradients * directions).sum(dim=1)
    return TurnAndStretch(gradients - stretch[:, None] * directions, stretch)


def alignment(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], power: float = 2) -> Float[Tensor, ""]:
    """The distance of positive pairs, `mean_i ‖x̂_i − ŷ_i‖^power`, of unit vectors; 0 is best, 2^power worst.

    Args:
        x: `(n, d)`, scaled to length 1 here.
        y: `(n, d)`, the positives of x, likewise.
        power: > 0.

    Raises:
        ValueError: shapes that differ, or entries that are not finite.

    Source: Wang & Isola 2020.

    >>> alignment(torch.eye(3), torch.eye(3)), alignment(torch.eye(3), -torch.eye(3))
    (tensor(0.), tensor(4.))
    """
    check_embeddings("x", x)
    check_embeddings("y", y)
    if x.shape != y.shape:
        raise ValueError(requirement("y", f"have the shape of x, {tuple(x.shape)}", tuple(y.shape)))
    return (unit(x) - unit(y)).square().sum(dim=1).pow(power / 2).mean()


def uniformity(x: Float[Tensor, "n d"], t: float = 2, engine: str = "auto") -> Float[Tensor, ""]:
    """How evenly directions fill the sphere, `log mean_{i≠j} exp(−t‖x̂_i − x̂_j‖²)`; lower is better.

    0 if all directions are equal. Directions drawn uniformly in d dimensions give `log ₀F₁(d/2, t²) − 2t` for the
    expected exponential, near −2t for large d. As `‖x̂ − ŷ‖² = 2 − 2 cos`, it is a log partition function at τ = 1/2t
    in which each vector excludes itself. Streamed.

    Args:
        x: `(n, d)`, n ≥ 2, scaled to length 1 here.
        t: > 0.
        engine: as for `info_nce`.

    Raises:
        ValueError: fewer than two vectors, t ≤ 0, or entries that are not finite.

    Source: Wang & Isola 2020.

    >>> uniformity(torch.tensor([[1.0, 0.0], [-2.0, 0.0]]))  # −t · 2²
    tensor(-8.)
    """
    if not 0 < t < math.inf:
        raise ValueError(requirement("t", "be positive and finite", t))
    if len(x) < 2:
        raise ValueError(requirement("x", "hold at least 2 vectors", len(x)))
    terms = info_nce_terms(x, x, positives=paired(), exclude=paired(), temperature=1 / (2 * t), engine=engine)
    return terms.log_partition.logsumexp(0) - math.log(len(x) * (len(x) - 1)) - 2 * t


def effective_rank(x: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """The number of dimensions that embeddings use: `exp(−Σ_k p_k log p_k)`, `p_k = σ_k / Σ_k σ_k`.

    σ are the singular values of `x`, neither centred nor scaled. The result lies between 1 (all on one line, or all
    zero) and min(n, d) (all singular values equal).

    Raises:
        ValueError: an empty `x`, or entries that are not finite.

    Source: Roy & Vetterli 2007.

    >>> effective_rank(torch.eye(4)), effective_rank(torch.ones(4, 4))
    (tensor(4.), tensor(1.0000))
    """
    check_embeddings("x", x)
    sigma = torch.linalg.svdvals(x if x.dtype == torch.float64 else x.float())
    p = sigma / sigma.sum().clamp(min=torch.finfo(sigma.dtype).tiny)
    entropy: Tensor = torch.special.entr(p).sum()
    return entropy.exp()
