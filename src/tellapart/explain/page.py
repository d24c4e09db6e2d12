"""Fills the page: the curves are measured now, and the rest happens in the browser."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from tellapart.pages import write_page
from tellapart.theory import curves

# What the curves of each claim show, in the order of the page.
_CLAIMS = (
    (
        "T3",
        "The colder, the fewer push",
        "As τ falls, the hardest negative takes the whole push; as it grows, all K push alike.",
    ),
    (
        "T4",
        "Twice the negatives ask for τ ln 2 more",
        "K negatives of score β ask of their counterpart a score of m = β + τ ln K. Short of it, at score α, the loss "
        "is nearly (m − α)/τ; beyond it, nearly nothing. It is off by ln 2 at most, where α = m.",
    ),
    (
        "T7",
        "A trained score is a log density ratio",
        "What a critic learned by the loss, from data whose densities are known, against the truth: for pairs, and "
        "for strangers, who do not belong together. What depends on the query alone cancels in the softmax; it is "
        "taken off.",
    ),
    (
        "T8",
        "A line-up of K + 1 shows log(K + 1) nats at most",
        "With the best critic there is, log(K + 1) − L stays, but for chance, below the information and below the "
        "ceiling, and no less than “InfoNCE at least”. Other estimates reach further, and pay: NWJ in variance, SMILE "
        "in bias, I_α in some of both.",
    ),
)


def write_explanation(output: Path) -> Path:
    """Measure the curves, which takes some seconds, and write the page. Returns where it is.

    Raises:
        InputError: the page cannot be written.
    """
    start = time.perf_counter()
    measured = [asdict(curve) for curve in curves.quick()]
    write_page(output, "explain", claims=_CLAIMS, curves=measured, seconds=time.perf_counter() - start)
    return output
