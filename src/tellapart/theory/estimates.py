"""T8: estimates of a known mutual information."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from tellapart.diagnostics import alpha_bound, mi_bound, nwj, smile
from tellapart.objective import info_nce_terms
from tellapart.theory.curve import Curve, measured, theory
from tellapart.theory.gaussians import Gaussians
from tellapart.theory.optimum import optimum_at_least

SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
NATS = (2.0, 4.0, 6.0, 8.0, 10.0)
_ALPHA = 0.01


def information_against_line_up(
    nats: float,
    *,
    dim: int = 20,
    sizes: Sequence[int] = SIZES,
    pairs: int = 2**17,
    at_least: int = 16,
    seed: int = 0,
) -> Curve:
    """T8: four estimates of a known information, with the exact critic, as the number of candidates grows.

    The critic is exact, so what InfoNCE misses is missing from its bound: see `optimum_at_least` for how much.

    Args:
        nats: the true information of the correlated Gaussians.
        dim: the dimension of the Gaussians.
        sizes: the numbers of candidates, K + 1; also the batch sizes.
        pairs: the number of pairs to draw for each size, unless `at_least` needs more.
        at_least: the least number of batches for each size.
        seed: for the pairs.

    >>> [line.label for line in information_against_line_up(1.0, sizes=[8], pairs=16).lines]
    ['InfoNCE', 'NWJ', 'I_α, α = 0.01', 'SMILE', 'truth', 'ceiling', 'InfoNCE at least']
    """
    problem, generator = Gaussians.with_information(nats, dim), torch.Generator().manual_seed(seed)
    names = ("InfoNCE", "NWJ", f"I_α, α = {_ALPHA:g}", "SMILE")
    found: list[list[torch.Tensor]] = [[] for _ in names]
    least = []
    for size in sizes:
        rounds = [_estimates(problem, size, generator) for _ in range(max(at_least, pairs // size))]
        estimates = torch.tensor(rounds, dtype=torch.float64).T
        for samples, of_size in zip(found, estimates, strict=False):
            samples.append(of_size)
        least.append(float(estimates[-1].mean()))
    x = [float(size) for size in sizes]
    return Curve(
        claim="T8",
        title=f"Estimates of {nats:g} nats, d = {dim}",
        x="candidates, K + 1",
        y="nats",
        lines=[
            *(measured(name, x, samples) for name, samples in zip(names, found, strict=True)),
            theory("truth", x, [nats] * len(x)),
            theory("ceiling", x, [math.log(size) for size in sizes]),
            theory("InfoNCE at least", x, least),
        ],
        log_x=True,
    )


def _estimates(problem: Gaussians, size: int, generator: torch.Generator) -> list[float]:
    """Each estimate from one fresh batch, and the least that InfoNCE's is expected to be."""
    x, y = problem.sample(size, generator)
    queries, keys, bias = (part.float() for part in problem.critic(x, y))
    terms = info_nce_terms(queries, keys, score="dot", temperature=1.0, key_bias=bias)
    found = [
        mi_bound(terms),
        nwj(terms),
        alpha_bound(queries, keys, alpha=_ALPHA, score="dot", temperature=1.0, key_bias=bias),
        smile(queries, keys, score="dot", temperature=1.0, key_bias=bias),
        optimum_at_least(problem.log_ratio(x, y), size - 1).mean(),
    ]
    return [float(value) for value in found]
