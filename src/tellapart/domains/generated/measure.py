"""What a critic's scores are worth: a bound on a divergence, and how they compare with log density ratios."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from tellapart.evaluation import Chart

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

_BINS = 12
_CHUNK = 256


def kl_bound(real: Float[Tensor, " n"], generated: Float[Tensor, " k"]) -> float:
    """A lower bound on KL(real‖generated) in nats, from scores of real examples, each among k generated ones.

    `log(k + 1) − L`, with L the loss of finding the real one: at most log(k + 1), and exact for k → ∞ and the best
    scores, `log p_r/p_g + c`.

    Source: van den Oord et al. 2018, appendix A.1, for one real example among examples of another density.

    >>> round(kl_bound(torch.tensor([1.0]), torch.tensor([0.0])), 4)  # log 2 − log(1 + e⁻¹)
    0.3799
    """
    losses = torch.logaddexp(real, generated.logsumexp(0)) - real
    return math.log(len(generated) + 1) - float(losses.mean())


def calibration(
    real: Float[Tensor, " n"], generated: Float[Tensor, " n"], ratios: Float[Tensor, " two_n"] | None
) -> Chart:
    """Scores, in bins, against the log of how many real examples and how many generated ones they are of.

    A score is the log density ratio up to a constant, which is chosen such that e^score is 1 on average over generated
    examples. In each bin the score of the best critic is the log ratio of the counts. One is added to both counts.

    Args:
        real: scores of real examples.
        generated: scores of as many generated ones.
        ratios: log p_r/p_g at all these, if it is known.
    """
    scores = torch.cat([real, generated]) - (generated.logsumexp(0) - math.log(len(generated)))
    is_real = torch.arange(len(scores)) < len(real)
    bins = scores.argsort().tensor_split(min(_BINS, len(scores)))
    lines = {
        "the critic's score": [float(scores[rows].mean()) for rows in bins],
        "log of real to generated, counted": [
            math.log((int(is_real[rows].sum()) + 1) / (int((~is_real[rows]).sum()) + 1)) for rows in bins
        ],
    }
    if ratios is not None:
        lines["log p_r/p_g"] = [float(ratios[rows].mean()) for rows in bins]
    what = "the mean score of each twelfth of the examples"
    return Chart("The critic's scores against the density ratio", what, "nats", lines["the critic's score"], lines)


def log_kernel_density(
    points: Float[Tensor, "n d"], samples: Float[Tensor, "m d"], width: float
) -> Float[Tensor, " n"]:
    """The log density of samples after Gaussian noise of a width, at points.

    >>> log_kernel_density(torch.zeros(1, 2), torch.zeros(1, 2), 1.0)  # −log 2π
    tensor([-1.8379])
    """
    constant = points.shape[1] / 2 * math.log(2 * math.pi * width**2) + math.log(len(samples))
    parts = [
        (torch.cdist(chunk, samples) ** 2 / (-2 * width**2)).logsumexp(dim=1) - constant
        for chunk in points.split(_CHUNK)
    ]
    return torch.cat(parts)


def energy_distance(a: Float[Tensor, "n ..."], b: Float[Tensor, "m ..."]) -> Float[Tensor, ""]:
    """How far two distributions are apart, from at least 2 samples of each: `2 E|a − b| − E|a − a'| − E|b − b'|`.

    It is at least 0, and 0 only if they are the same. The estimate has no bias, and so may be below 0.

    Source: Székely & Rizzo 2013, eq. 2, as a U-statistic.

    >>> energy_distance(torch.tensor([[0.0], [0.0]]), torch.tensor([[3.0], [3.0]]))
    tensor(6.)
    """
    a, b = a.float().flatten(1), b.float().flatten(1)
    own = [torch.cdist(x, x).sum() / (len(x) * (len(x) - 1)) for x in (a, b)]
    return 2 * torch.cdist(a, b).mean() - own[0] - own[1]


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """The Fréchet distance of two Gaussians with the means and covariances of two sets of features, squared.

    `‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½)`; the last trace is the sum of the roots of the eigenvalues of
    `Σ_a^½ Σ_b Σ_a^½`.

    Source: Dowson & Landau 1982; as a measure of generators Heusel et al. 2017, there with features of Inception.

    >>> x = torch.eye(3)
    >>> round(frechet_distance(x, x + 1.0), 5)  # moved by 1 in 3 dimensions
    3.0
    """
    means, covariances = zip(*((x.double().mean(dim=0), torch.cov(x.double().T)) for x in (a, b)), strict=True)
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp(min=0).sqrt().sum()
    spread = covariances[0].trace() + covariances[1].trace() - 2 * shared
    return max(0.0, float((means[0] - means[1]).square().sum() + spread))
