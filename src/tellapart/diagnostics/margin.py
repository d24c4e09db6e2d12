"""The margin that the negatives together demand of a positive."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.diagnostics.hardness import log_negatives
from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.objective import Terms


@torch.no_grad()
def effective_margin(terms: Terms, temperature: float | Tensor) -> Float[Tensor, "... n"]:
    """The score a positive has to exceed, `m_i = τ log Σ_j exp(s_ij/τ)` over the negatives, in units of the score.

    With one positive of score α_i the loss is exactly `L_i = log(1 + exp((m_i − α_i)/τ))`. A positive below m costs
    about `(m − α)/τ`, one above m almost nothing. K negatives of equal score β give `m = β + τ ln K`, and twice as
    many raise m by τ ln 2. K negatives of mean score β and highest score β' give `β + τ ln K ≤ m ≤ β' + τ ln K`, and
    `m ≥ β'`. A `key_bias` counts τ times. Read from `terms` alone, where losses round: far above the margin m is off
    by about `τ ε exp((α − m)/τ)`, and never by more than τ ln K. NaN for a query with several positives among its
    candidates.

    Args:
        terms: of `info_nce_terms`.
        temperature: the τ of these terms: a number, a 0-d tensor or one per query.

    >>> from tellapart.objective import info_nce_terms
    >>> effective_margin(info_nce_terms(torch.eye(8), torch.eye(8), temperature=0.1), 0.1)  # 0.1 ln 7
    tensor([0.1946, 0.1946, 0.1946, 0.1946, 0.1946, 0.1946, 0.1946, 0.1946])
    """
    return temperature * log_negatives(terms)


def planned_margin(n_negatives: int, temperature: float, negative_score: float = 0.0) -> float:
    """The margin that K easy negatives will demand, `m = β + τ ln K`: an estimate before training.

    Args:
        n_negatives: K ≥ 1.
        temperature: τ > 0.
        negative_score: β, the score of all negatives; 0 for cosines of orthogonal directions.

    Raises:
        ValueError: no negative, or τ ≤ 0.

    >>> round(planned_margin(65_536, 0.07), 3), round(planned_margin(2 * 65_536, 0.07), 3)
    (0.776, 0.825)
    """
    if n_negatives < 1:
        raise ValueError(requirement("n_negatives", "be at least 1", n_negatives))
    if not 0 < temperature < math.inf:
        raise ValueError(requirement("temperature", "be positive and finite", temperature))
    return negative_score + temperature * math.log(n_negatives)


def hinge(
    margin: Float[Tensor, " n"], positive: Float[Tensor, " n"], temperature: float | Tensor
) -> Float[Tensor, " n"]:
    """The hinge that approximates the loss, `max(0, m_i − α_i)/τ`, in nats: 0 above the margin, linear below it.

    It is less than the loss, by `hinge_error`.

    Args:
        margin: m, as from `effective_margin`.
        positive: α, the positive's score, `τ · terms.positive`.
        temperature: τ > 0.

    >>> hinge(torch.tensor([0.5, 0.5]), torch.tensor([0.4, 0.9]), 0.1)
    tensor([1.0000, 0.0000])
    """
    return (margin - positive).clamp(min=0) / temperature


def hinge_error(
    margin: Float[Tensor, " n"], positive: Float[Tensor, " n"], temperature: float | Tensor
) -> Float[Tensor, " n"]:
    """The loss minus the hinge, `L_i − hinge_i = log(1 + exp(−x))` with `x = |m_i − α_i|/τ`, in nats.

    It is at most ln 2, at the margin itself. Elsewhere `ln 2 · exp(−x) ≤ error ≤ exp(−x)`, because a concave function
    of `exp(−x)` lies above its chord and below its tangent.

    Args:
        margin: m, like the others as for `hinge`.

    >>> hinge_error(torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.9]), 0.1)
    tensor([0.6931, 0.0181])
    """
    return torch.log1p(torch.exp(-(margin - positive).abs() / temperature))
