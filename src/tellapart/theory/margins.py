"""T4: the margin that negatives demand, and the hinge that approximates the loss, as their number doubles."""

from __future__ import annotations

import torch

from tellapart.diagnostics import effective_margin, hinge, hinge_error, planned_margin
from tellapart.objective import Terms, info_nce_terms
from tellapart.relations import paired
from tellapart.theory.curve import Curve, measured, theory


def margin_against_negatives(
    *, most: int = 2**16, temperature: float = 0.07, negative_score: float = 0.1, dim: int = 64, seed: int = 0
) -> Curve:
    """T4: K negatives of score β demand the margin `β + τ ln K`; random directions demand almost as much.

    >>> curve = margin_against_negatives(most=4, temperature=0.1, negative_score=0.0)
    >>> [round(y, 4) for y in curve.lines[0].y]
    [0.0, 0.0693, 0.1386]
    """
    numbers = _doubled(most)
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(64, dim, generator=generator)
    others = torch.randn(most, dim, generator=generator)
    alike, random = [], []
    for k in numbers:
        alike.append(effective_margin(_of_one_score(k, temperature, negative_score, 1.0), temperature))
        terms = info_nce_terms(
            queries, queries, exclude=~paired(), negatives=others[:k], temperature=temperature, engine="tiled"
        )
        random.append(effective_margin(terms, temperature))
    return Curve(
        claim="T4",
        title=f"The margin that K negatives demand, τ = {temperature:g}",
        x="negatives K",
        y="score",
        lines=[
            measured(f"all of score {negative_score:g}", numbers, alike),
            measured(f"random directions, d = {dim}", numbers, random),
            theory("β + τ ln K", numbers, [planned_margin(k, temperature, negative_score) for k in numbers]),
            theory("τ ln K", numbers, [planned_margin(k, temperature) for k in numbers]),
        ],
        log_x=True,
    )


def hinge_against_negatives(
    *, most: int = 2**16, temperature: float = 0.07, negative_score: float = 0.1, positive_score: float = 0.6
) -> Curve:
    """T4: the loss exceeds the hinge `max(0, m − α)/τ` by at most ln 2, and by less the further m is from α.

    >>> curve = hinge_against_negatives(most=2, temperature=1.0, negative_score=0.0, positive_score=1.0)
    >>> [round(y, 4) for y in curve.lines[0].y]  # log(1 + e⁻¹), log(1 + 2e⁻¹)
    [0.3133, 0.5514]
    """
    numbers, tau = _doubled(most), temperature
    losses, hinges, rest = [], [], []
    for k in numbers:
        terms = _of_one_score(k, tau, negative_score, positive_score)
        losses.append(terms.per_query())
        hinges.append(hinge(effective_margin(terms, tau), tau * terms.positive, tau))
        rest.append(losses[-1] - hinges[-1])
    planned = torch.tensor([planned_margin(k, tau, negative_score) for k in numbers], dtype=torch.float64)
    predicted = hinge_error(planned, torch.full_like(planned, positive_score), tau)
    return Curve(
        claim="T4",
        title=f"The loss and its hinge: positive {positive_score:g}, negatives {negative_score:g}, τ = {tau:g}",
        x="negatives K",
        y="nats",
        lines=[
            measured("loss", numbers, losses),
            measured("hinge", numbers, hinges),
            measured("loss − hinge", numbers, rest),
            theory("log(1 + exp(−|m − α|/τ)), m = β + τ ln K", numbers, predicted.tolist()),
        ],
        log_x=True,
    )


def _doubled(most: int) -> list[int]:
    """1, 2, 4, … up to `most`."""
    return [2**k for k in range(most.bit_length())]


def _of_one_score(k: int, temperature: float, negative_score: float, positive_score: float) -> Terms:
    """The terms of one query among k negatives of one cosine, exactly."""
    cosines = torch.tensor([positive_score, negative_score], dtype=torch.float64)
    positive, negative = torch.stack([cosines, (1 - cosines.square()).sqrt()], dim=1).split(1)
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    return info_nce_terms(query, positive, negatives=negative.expand(k, 2), temperature=temperature)
