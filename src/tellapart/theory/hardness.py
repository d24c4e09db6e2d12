"""T3: how the push is divided among the negatives as τ changes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tellapart.diagnostics import effective_negatives, hardest_share
from tellapart.objective import info_nce_terms
from tellapart.theory.curve import Curve, measured, theory

TEMPERATURES = tuple(10 ** (k / 8) for k in range(-16, 9))


def hardness_against_temperature(
    *,
    n_queries: int = 64,
    n_negatives: int = 512,
    dim: int = 32,
    temperatures: Sequence[float] = TEMPERATURES,
    seed: int = 0,
) -> Curve:
    """T3: as τ → 0 only the hardest negative pushes, as τ → ∞ all push alike. For random directions.

    >>> hardness_against_temperature(n_queries=2, n_negatives=8, temperatures=[1.0]).lines[2].y
    [0.125]
    """
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(n_negatives + 1, dim, generator=generator, dtype=torch.float64)
    queries = keys[:n_queries] + 0.5 * torch.randn(n_queries, dim, generator=generator, dtype=torch.float64)
    found = [
        (effective_negatives(queries, keys, temperature=tau), info_nce_terms(queries, keys, temperature=tau))
        for tau in temperatures
    ]
    return Curve(
        claim="T3",
        title=f"The push of {n_negatives} negatives in {dim} dimensions",
        x="τ",
        y=f"share of the {n_negatives}, or of their push",
        lines=[
            measured("effective negatives / K", temperatures, [effective / n_negatives for effective, _ in found]),
            measured("the hardest negative's share", temperatures, [hardest_share(terms) for _, terms in found]),
            theory("1/K", temperatures, [1 / n_negatives] * len(temperatures)),
        ],
        log_x=True,
    )
