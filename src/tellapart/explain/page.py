"""Writes the page: the curves are measured here, all else is computed in the browser."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from tellapart.pages import write_page
from tellapart.theory import curves

# A title and a text for the curves of each claim, in the order of the page.
_CLAIMS = (
    (
        "T3",
        "The lower τ, the fewer negatives push",
        "As τ falls, the hardest negative has the whole push. As τ grows, all K push alike.",
    ),
    (
        "T4",
        "Twice the negatives demand τ ln 2 more",
        "K negatives of score β demand a score of m = β + τ ln K of the positive. For a score α below m the loss is "
        "nearly (m − α)/τ, and above m nearly 0. The difference is ln 2 at most, where α = m.",
    ),
    (
        "T7",
        "A trained score is a log density ratio",
        "The log ratio that a critic learned from data of known density, against the true one. Pairs are drawn "
        "together, strangers independently. A part that depends on the query alone cancels in the softmax, and is "
        "subtracted.",
    ),
    (
        "T8",
        "K + 1 candidates show log(K + 1) nats at most",
        "With the best critic, log(K + 1) − L stays below the information and below the ceiling, up to chance, and "
        "above “InfoNCE at least”. Other estimates reach further, at a price: NWJ in variance, SMILE in bias, I_α in "
        "some of both.",
    ),
)


def write_explanation(output: Path) -> Path:
    """Measure the curves, which takes some seconds, and write the page. Returns its path.

    Raises:
        InputError: the page cannot be written.
    """
    start = time.perf_counter()
    measured = [asdict(curve) for curve in curves.quick()]
    write_page(output, "explain", claims=_CLAIMS, curves=measured, seconds=time.perf_counter() - start)
    return output
