"""Mixtures of Gaussians on a plane: their modes can be counted, and their density is known.

Source: Lin et al. 2018 (PacGAN), §4.1, after Srivastava et al. 2017 (VEEGAN): 2,500 generated points; a point is of
high quality if it lies within 3σ of a mean, and a mode is found if it has such a point.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

NEAR = 3.0
PROTOCOL = 2500
"""Generated points that are judged."""


class Quality(NamedTuple):
    """How well points cover a mixture's modes."""

    modes: int
    """Modes with a point within 3σ."""
    high_quality: float
    """Share of the points within 3σ of a mean."""
    reverse_kl: float
    """KL(generated‖real) of the shares of points per nearest mode, in nats."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians of equal weight and the same width σ in all directions."""

    means: Float[Tensor, "k 2"]
    sigma: float

    @property
    def scale(self) -> float:
        """The root of the mean square of a coordinate: by this, points are brought to unit size."""
        return math.sqrt(float((self.means**2).mean()) + self.sigma**2)

    def draw(self, n: int, seed: int) -> Float[Tensor, "n 2"]:
        """n points."""
        random = torch.Generator().manual_seed(seed)
        which = torch.randint(len(self.means), (n,), generator=random)
        return self.means[which] + self.sigma * torch.randn(n, 2, generator=random)

    def log_density(self, points: Float[Tensor, "n 2"], blur: float = 0.0) -> Float[Tensor, " n"]:
        """`log p` in nats; with `blur`, of the mixture after Gaussian noise of that width.

        >>> Mixture(torch.zeros(1, 2), 1.0).log_density(torch.zeros(1, 2))  # −log 2π
        tensor([-1.8379])
        """
        variance = self.sigma**2 + blur**2
        exponents = -(torch.cdist(points, self.means.to(points)) ** 2) / (2 * variance)
        return exponents.logsumexp(dim=1) - math.log(2 * math.pi * variance * len(self.means))

    def quality(self, points: Float[Tensor, "n 2"]) -> Quality:
        """How well points cover the modes.

        >>> RING.quality(RING.means[:4])
        Quality(modes=4, high_quality=1.0, reverse_kl=0.6931471824645996)
        """
        nearest = torch.cdist(points, self.means.to(points)).min(dim=1)
        is_near = nearest.values < NEAR * self.sigma
        shares = torch.bincount(nearest.indices, minlength=len(self.means)) / len(points)
        return Quality(
            int(nearest.indices[is_near].unique().numel()), float(is_near.float().mean()), kl_to_even(shares)
        )


def kl_to_even(shares: Float[Tensor, " k"]) -> float:
    """KL of shares that add up to 1 against equal ones, in nats.

    >>> kl_to_even(torch.tensor([1.0, 0.0]))
    0.6931471824645996
    """
    return float(torch.xlogy(shares, shares * len(shares)).sum())


_ANGLES = torch.arange(8) * (2 * math.pi / 8)
RING = Mixture(torch.stack([_ANGLES.cos(), _ANGLES.sin()], dim=1), 0.01)
GRID = Mixture(torch.tensor(list(itertools.product((-4.0, -2.0, 0.0, 2.0, 4.0), repeat=2))), 0.05)
MIXTURES = {"ring-8": RING, "grid-25": GRID}
