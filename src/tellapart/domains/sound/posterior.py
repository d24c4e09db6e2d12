"""What sounds and pictures say of the clocks, beside what the clocks are believed to be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.sound.clock import Clock
from tellapart.evaluation import Chart

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

_BINS, _WIDTHS = 36, 6


def posterior_chart(
    clock: Clock,
    similarities: Float[Tensor, "n m"],
    corrected: Float[Tensor, " n"],
    picture_times: Float[Tensor, " m"],
) -> Chart:
    """Densities of what remains of the clocks' difference, Δ = t − δ − u, over pairs of a sound and a picture.

    The posterior is `Σ_i r_ij` at the differences Δ_ij. Beside it are the Gaussian that the clock is believed to have,
    and what embeddings say without any clock: the pairs' share p_ij, less that of pairs at any distance. If the clock
    is wrong, this one has its top elsewhere than at 0.

    Args:
        clock: its σ is shown.
        similarities: of each sound to each picture, divided by the temperature.
        corrected: the sounds' times on the pictures' clock, as the pictures' in seconds.
        picture_times: of each picture.
    """
    apart = (corrected[:, None].double() - picture_times.double()).numpy()
    posterior = clock.posterior(similarities, corrected, picture_times).numpy()
    alone = torch.softmax(similarities.double(), dim=1).numpy()
    reach = _WIDTHS * clock.sigma
    edges = np.linspace(-reach, reach, _BINS + 1)
    middles, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]

    def density(weights: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " bins"]:
        found, _ = np.histogram(apart, bins=edges, weights=weights)
        return np.asarray(found / max(found.sum() * width, 1e-300))

    pairs, _ = np.histogram(apart, bins=edges)
    means, _ = np.histogram(apart, bins=edges, weights=alone)
    excess = (means - pairs * np.median(means / np.maximum(pairs, 1))).clip(min=0)
    gaussian = np.exp(-0.5 * (middles / clock.sigma) ** 2) / (clock.sigma * math.sqrt(2 * math.pi))
    return Chart(
        "The clocks' difference, of held-out sounds and pictures",
        "sound ahead of picture, beyond the offset (s)",
        "density",
        middles.tolist(),
        {
            "posterior": density(posterior).tolist(),
            "the clock": gaussian.tolist(),
            "embeddings alone": (excess / max(excess.sum() * width, 1e-300)).tolist(),
        },
    )
