"""Pairs of patches: two places of one specimen, each cut at an angle of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from tellapart.domains.micrographs.patches import Places, varied

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.domains.micrographs.dataset import Blocks
    from tellapart.domains.micrographs.options import MicrographOptions

_TRIES = 4


class Patches(NamedTuple):
    """Patches and the specimen that each was cut from; of n blocks the first n, then their counterparts."""

    patches: Float[Tensor, "n side side"]
    specimen: Int[Tensor, " n"]


def cut_twice(blocks: Blocks, options: MicrographOptions) -> Patches:
    """A patch of each block, and a counterpart from elsewhere on its specimen, turned and varied independently.

    All randomness comes from torch's default generator.
    """
    first = blocks.places()
    second = first if options.counterpart == "itself" else _elsewhere(blocks, first)
    windows = torch.cat([blocks.cutter.windows(places) for places in (first, second)])
    if blocks.device is not None:
        windows = windows.to(blocks.device)
    angles = 2 * math.pi * torch.rand(len(windows), dtype=torch.float32, device=windows.device)
    if options.variation:
        windows = varied(windows, options.variation)
    patches = blocks.cutter.cut(windows, angles if options.turn else torch.zeros_like(angles))
    return Patches(patches, blocks.specimen[torch.cat([first.region, second.region])].to(windows.device))


def _elsewhere(blocks: Blocks, places: Places) -> Places:
    """Another place of the same specimen for each: of four random ones, that farthest from it."""
    n = len(places.region)
    regions = [(blocks.specimen == blocks.specimen[i]).nonzero().flatten() for i in places.region.tolist()]
    drawn = torch.rand(n, _TRIES, dtype=torch.float64)
    region = torch.stack([of[(drawn[i] * len(of)).long()] for i, of in enumerate(regions)])
    share = torch.rand(n, _TRIES, 2, dtype=torch.float64)
    middles = blocks.cutter.middles(Places(region.flatten(), share.flatten(0, 1))).view(n, _TRIES, 2)
    far = (middles - blocks.cutter.middles(places)[:, None]).norm(dim=2)
    far = far.where(region == places.region[:, None], math.inf)  # another page is elsewhere, whatever the place
    best = far.argmax(dim=1)
    return Places(region[torch.arange(n), best], share[torch.arange(n), best])
