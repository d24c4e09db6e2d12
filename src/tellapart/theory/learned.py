"""T7: the log ratio that a critic learns, against the true one."""

from __future__ import annotations

import time

import torch

from tellapart.errors import check_choice
from tellapart.theory.critic import Critic, Problem, for_numbers, for_vectors
from tellapart.theory.curve import Curve, Line, theory
from tellapart.theory.gaussians import Gaussians
from tellapart.theory.tables import random_table

PROBLEMS = ("gaussian, d = 1", "gaussian, d = 5", "table, 50 × 50")
_TABLE = 50


def learned_against_true(problem: str, *, steps: int = 1000, n_points: int = 1000, seed: int = 0) -> Curve:
    """T7: a critic trained on pairs by InfoNCE learns their log ratio, after c(x) is subtracted.

    Points are unseen pairs, drawn from p(x, y), and strangers, drawn from p(x)p(y). The numbers are the correlations
    of the learned with the true ratio for both kinds, the true information, and the time of training.

    Args:
        problem: one of `PROBLEMS`.
        steps: training steps.
        n_points: the number of pairs of each kind.
        seed: for data, initial weights and training.

    Raises:
        ValueError: an unknown problem.

    >>> sorted(learned_against_true("gaussian, d = 1", steps=2, n_points=3).numbers)
    ['correlation', 'correlation of strangers', 'nats', 'seconds']
    """
    check_choice("problem", problem, PROBLEMS)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        truth, critic, batch = _setting(problem, generator)
        start = time.perf_counter()
        critic.learn(truth, steps=steps, batch=batch, learning_rate=0.02, generator=generator)
        seconds = time.perf_counter() - start
    x, y = truth.sample(n_points, generator)
    reference = truth.sample(8192, generator)[1]
    lines, correlations = [], []
    for label, other in (("pairs", y), ("strangers", y.roll(1, dims=0))):
        true, learned = truth.log_ratio(x, other), critic.log_ratio(x, other, reference).double()
        lines.append(Line(label, true.tolist(), learned.tolist(), kind="points"))
        correlations.append(float(torch.corrcoef(torch.stack([true, learned]))[0, 1]))
    ends = [min(min(line.x) for line in lines), max(max(line.x) for line in lines)]
    return Curve(
        claim="T7",
        title=f"What a critic learns: {problem}",
        x="true log p(y|x)/p(y), nats",
        y="learned, nats",
        lines=[*lines, theory("truth", ends, ends)],
        numbers={
            "correlation": correlations[0],
            "correlation of strangers": correlations[1],
            "nats": truth.information,
            "seconds": seconds,
        },
    )


def _setting(problem: str, generator: torch.Generator) -> tuple[Problem, Critic, int]:
    """A problem, an untrained critic for it, and the batch size."""
    if problem == PROBLEMS[2]:
        return random_table(_TABLE, _TABLE, generator), for_numbers(_TABLE, _TABLE), 512
    dim, rho = (1, 0.8) if problem == PROBLEMS[0] else (5, 0.7)
    return Gaussians(dim, rho), for_vectors(dim), 256
