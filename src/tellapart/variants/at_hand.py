"""Scores that are already at hand: the loss of a matrix of scores, and of a whole order of candidates.

Elsewhere scores are computed from embeddings. Here they are given, one row per query, as a language model's
log-probabilities of answers are. Queries may have different numbers of candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart._engine import REDUCTIONS
from tellapart.errors import (
    as_temperature,
    check_choice,
    check_finite,
    check_loss,
    check_vectors,
    requirement,
    values_are_checked,
)
from tellapart.variants.options import reduced

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


def of_scores(
    scores: Float[Tensor, "n k"],
    *,
    positives: Int[Tensor, " n"] | None = None,
    targets: Float[Tensor, "n k"] | None = None,
    candidates: Bool[Tensor, "n k"] | None = None,
    temperature: float | Tensor = 1.0,
    margin: float = 0.0,
    reduction: str = "mean",
) -> Float[Tensor, "..."]:
    """InfoNCE of scores that are already at hand, in nats; a mask tells each query's candidates.

    `L_i = log Σ_{j∈C(i)} exp S_ij − Σ_j w_ij S_ij`, with `S_ij = (s_ij − margin·[j = p_i]) / τ` and w the one positive
    p_i, or the soft `targets`. It is `info_nce` of the same scores, at the price of `F.cross_entropy`.

    Args:
        scores: `(n, k)`, one row per query. What is no candidate may have any value.
        positives: the column p_i of each query's positive; by default the first.
        targets: weights ≥ 0 of the candidates, in place of the one positive; each row is scaled to add up to 1.
        candidates: the mask of each query's candidates; by default all columns.
        temperature: τ > 0: a number, a 0-d tensor or one per query `(n,)`. DPO's β is 1/τ.
        margin: subtracted from the positive's score before τ divides.
        reduction: "mean" over the queries, "sum", or "none": `(n,)`.

    Raises:
        TypeError: scores that are not floating-point.
        ValueError: shapes that do not fit, τ ≤ 0, a candidate's score that is not finite, a positive or a weight
            outside of the candidates, weights that are negative or all 0.

    Sources: van den Oord et al. 2018, eq. 4, for given scores; DPO: Rafailov et al. 2023, eq. 7; several negatives:
    Chen et al. 2024 (S-DPO); soft targets: Chen et al. 2024 (InfoNCA); margin: Meng et al. 2024
    (SimPO), eq. 6.

    >>> rewards = torch.tensor([[2.0, 1.0, 0.0], [1.0, 1.0, 9.0]])
    >>> of_scores(rewards, candidates=torch.tensor([[True, True, True], [True, True, False]]), reduction="none")
    tensor([0.4076, 0.6931])
    """
    check_choice("reduction", reduction, REDUCTIONS)
    check_vectors("scores", scores)
    temperature = as_temperature(temperature, len(scores))
    logits = _logits(scores, candidates, temperature)
    is_first = positives is None
    if positives is None:
        positives = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    if not is_first or candidates is not None:
        _check_positives(positives, scores, candidates)
    if margin:
        shift = torch.as_tensor(margin / temperature, dtype=logits.dtype, device=logits.device).expand(len(logits))
        logits = logits.scatter_add(1, positives[:, None], -shift[:, None])
    if targets is None:
        return check_loss(nn.functional.cross_entropy(logits, positives, reduction=reduction))
    _check_targets(targets, scores, candidates)
    weights, log_p = targets / targets.sum(dim=1, keepdim=True), logits.log_softmax(dim=1)
    if candidates is not None:
        log_p = log_p.masked_fill(~candidates, 0)
    losses = -(weights * log_p).sum(dim=1)
    return reduced(losses, torch.ones_like(losses, dtype=torch.bool), reduction)


def plackett_luce(
    scores: Float[Tensor, "n k"],
    *,
    candidates: Bool[Tensor, "n k"] | None = None,
    temperature: float | Tensor = 1.0,
    reduction: str = "mean",
) -> Float[Tensor, "..."]:
    """The cross-entropy of a whole order, in nats: each candidate is to be found among itself and all later ones.

    `L_i = Σ_r [ log Σ_{j≥r} exp S_ij − S_ir ]`, over the candidates of query i in the order of their columns, the best
    first. It is `variants.ranking` with one candidate at each level.

    Args:
        scores: `(n, k)`, one row per query, the best candidate's first.
        candidates: as for `of_scores`, like `temperature` and `reduction`.

    Raises:
        ValueError: a query without a candidate, or as `of_scores`.

    Sources: Plackett 1975; Rafailov et al. 2023 (DPO), appendix A.3.

    >>> plackett_luce(torch.tensor([[2.0, 1.0, 0.0]]))  # log(1 + e⁻¹ + e⁻²) + log(1 + e⁻¹)
    tensor(0.7209)
    """
    check_vectors("scores", scores)
    temperature = as_temperature(temperature, len(scores))
    logits = _logits(scores, candidates, temperature)
    candidates = torch.ones_like(scores, dtype=torch.bool) if candidates is None else candidates
    if values_are_checked(scores) and not bool(candidates.any(dim=1).all()):
        row = int((~candidates.any(dim=1)).nonzero()[0])
        raise ValueError(requirement("candidates", "give each query a candidate", f"none in row {row}"))
    # Where nothing follows, not even the place itself, both terms are replaced by 0.
    low = torch.finfo(logits.dtype).min / 4
    later = logits.masked_fill(~candidates, low).flip(1).logcumsumexp(dim=1).flip(1)
    losses = (later - logits).masked_fill(~candidates, 0).sum(dim=1)
    return reduced(losses, torch.ones_like(losses, dtype=torch.bool), reduction)


def _logits(scores: Tensor, candidates: Tensor | None, temperature: float | Tensor) -> Tensor:
    """`s/τ` in float32 or better, −∞ at what is no candidate."""
    if candidates is not None:
        if candidates.dtype != torch.bool or candidates.shape != scores.shape:
            got = f"{candidates.dtype} of shape {tuple(candidates.shape)}"
            raise ValueError(requirement("candidates", f"be a boolean mask of shape {tuple(scores.shape)}", got))
        scores = scores.masked_fill(~candidates, 0)
    check_finite("scores", scores)
    logits = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if isinstance(temperature, Tensor) or temperature != 1:
        logits = logits / (
            temperature[:, None] if isinstance(temperature, Tensor) and temperature.ndim else temperature
        )
    return logits if candidates is None else logits.masked_fill(~candidates, -torch.inf)


def _check_positives(positives: Tensor, scores: Tensor, candidates: Tensor | None) -> None:
    n, k = scores.shape
    if positives.shape != (n,) or positives.dtype != torch.long:
        got = f"{positives.dtype} of shape {tuple(positives.shape)}"
        raise ValueError(requirement("positives", f"be one column (int64) per query ({n},)", got))
    if not values_are_checked(scores):
        return
    if bool(((positives < 0) | (positives >= k)).any()):
        raise ValueError(requirement("positives", f"lie between 0 and {k - 1}", positives.tolist()))
    if candidates is not None and not bool((found := candidates.gather(1, positives[:, None])[:, 0]).all()):
        row = int((~found).nonzero()[0])
        raise ValueError(requirement("positives", "be candidates of their queries", f"another in row {row}"))


def _check_targets(targets: Tensor, scores: Tensor, candidates: Tensor | None) -> None:
    if targets.shape != scores.shape or not targets.is_floating_point():
        got = f"{targets.dtype} of shape {tuple(targets.shape)}"
        raise ValueError(requirement("targets", f"be weights of shape {tuple(scores.shape)}", got))
    if not values_are_checked(targets):
        return
    check_finite("targets", targets)
    bad = (targets < 0).any(dim=1) | (targets.sum(dim=1) <= 0)
    if candidates is not None:
        bad |= ((targets > 0) & ~candidates).any(dim=1)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        must = "be at least 0, positive for a candidate, and 0 elsewhere"
        raise ValueError(requirement("targets", must, f"{targets[row].tolist()} in row {row}"))
