"""Measured claims about how one quantity depends on another: each function gives one curve."""

from __future__ import annotations

from tellapart.theory.curve import Curve, Line
from tellapart.theory.estimates import NATS, SIZES, information_against_line_up
from tellapart.theory.hardness import TEMPERATURES, hardness_against_temperature
from tellapart.theory.learned import PROBLEMS, learned_against_true
from tellapart.theory.margins import hinge_against_negatives, margin_against_negatives
from tellapart.theory.retrieval import error_against_loss

__all__ = [
    "Curve",
    "Line",
    "error_against_loss",
    "full",
    "hardness_against_temperature",
    "hinge_against_negatives",
    "information_against_line_up",
    "learned_against_true",
    "margin_against_negatives",
    "quick",
]


def quick(seed: int = 0) -> list[Curve]:
    """All curves at a reduced size: a few seconds."""
    return [
        hardness_against_temperature(n_negatives=128, temperatures=TEMPERATURES[::2], seed=seed),
        margin_against_negatives(most=2**12, seed=seed),
        hinge_against_negatives(most=2**12),
        *(
            learned_against_true(problem, steps=steps, n_points=200, seed=seed)
            for problem, steps in zip(PROBLEMS, (200, 200, 500), strict=True)
        ),
        *(
            information_against_line_up(nats, sizes=SIZES[:5:2], pairs=2**11, at_least=8, seed=seed)
            for nats in NATS[::2]
        ),
    ]


def full(seed: int = 0) -> list[Curve]:
    """All curves at their full size: some minutes."""
    return [
        hardness_against_temperature(seed=seed),
        margin_against_negatives(seed=seed),
        hinge_against_negatives(),
        *(learned_against_true(problem, seed=seed) for problem in PROBLEMS),
        *(information_against_line_up(nats, seed=seed) for nats in NATS),
        error_against_loss(seed=seed),
    ]
