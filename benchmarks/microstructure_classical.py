"""Classical features of textures, for patches seen through a disc: what the trained network is compared with.

- spectrum: the logarithm of the power in each ring of frequencies;
- Haralick: 13 features of co-occurring grey levels, the mean over four directions, at distances 1, 2 and 4 (mahotas);
- LBP: rotation-invariant uniform local binary patterns at four radii (scikit-image), square roots of frequencies.

Features are standardised by their mean and deviation among the patches of known label. LBP reads places at least a
radius away from the rim, so that no pattern reaches beyond the disc.
"""

from __future__ import annotations

from collections.abc import Callable

import mahotas
import numpy as np
import torch
from skimage.feature import local_binary_pattern
from torch import Tensor

from tellapart.domains.micrographs import disc, radial_spectrum

Features = Callable[[Tensor], Tensor]

SCALES = ((8, 1), (16, 2), (24, 4), (24, 6))
_LEVELS, _DISTANCES = 32, (1, 2, 4)


def lbp(patches: Tensor) -> Tensor:
    """Frequencies of rotation-invariant patterns, at four radii."""
    side = patches.shape[-1]
    at = np.arange(side) - (side - 1) / 2
    far = np.sqrt(at[:, None] ** 2 + at**2)
    rows = []
    # Integers, for values that differ by rounding alone should not.
    for patch in _levels(patches, 2**12):
        counts = []
        for points, radius in SCALES:
            codes = local_binary_pattern(patch, points, radius, "uniform")[far <= side / 2 - radius - 1]
            counts.append(np.sqrt(np.bincount(codes.astype(int), minlength=points + 2) / codes.size))
        rows.append(np.concatenate(counts))
    return torch.from_numpy(np.stack(rows)).float()


def haralick(patches: Tensor) -> Tensor:
    """Haralick's features of grey levels within the disc, the mean over directions."""
    inside = disc(patches.shape[-1]).numpy() > 0
    rows = []
    for patch in _levels(patches, _LEVELS - 1):
        seen = np.where(inside, patch + 1, 0).astype(np.uint8)
        found = [mahotas.features.haralick(seen, True, return_mean=True, distance=d) for d in _DISTANCES]
        rows.append(np.concatenate(found))
    return torch.from_numpy(np.stack(rows)).float()


def classical(known: Tensor) -> dict[str, Features]:
    """All of them by name, standardised by patches of known label."""
    plain = {"radial spectrum, standardised": radial_spectrum, "Haralick": haralick, "LBP, 4 scales": lbp}
    made = {name: standardised(features, known) for name, features in plain.items()}
    return made | {"LBP + Haralick + spectrum": together(list(made.values()))}


def standardised(features: Features, known: Tensor) -> Features:
    """Features less their mean among known patches, divided by their deviation there."""
    found = features(known)
    mean, deviation = found.mean(dim=0), found.std(dim=0)
    return lambda patches: (features(patches) - mean) / deviation.where(deviation > 0, 1)


def together(parts: list[Features]) -> Features:
    """Several, each with the same weight, however many numbers it has."""

    def features(patches: Tensor) -> Tensor:
        found = [part(patches) for part in parts]
        return torch.cat([values / values.shape[1] ** 0.5 for values in found], dim=1)

    return features


def _levels(patches: Tensor, highest: int) -> np.ndarray:
    """Whole numbers from 0: three deviations below the mean, to `highest`: three above it."""
    levels: np.ndarray = ((patches / 6 + 0.5).clamp(0, 1) * highest).round().long().numpy()
    return levels
