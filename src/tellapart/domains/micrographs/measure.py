"""Evaluation of embeddings of patches: do they tell labels, find their specimen, change as a patch is turned?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tellapart.domains.micrographs.patches import Cutter, Places, Region
from tellapart.evaluation import Table, clustering, found_by, nearest_neighbours, relative_distance
from tellapart.relations import same

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.domains.micrographs.options import MicrographOptions

    Encode = Callable[[Tensor], Float[Tensor, "n d"]]

_K, _OF_A_LABEL, _MOST, _OF_A_SPECIMEN = 5, 160, 4000, 60
_TURNS = (45, 90)


class Shown:
    """Patches that are measured: of random places, at random angles, and turned from there."""

    def __init__(self, regions: list[Region], rows: Int[Tensor, " n"], seed: int, options: MicrographOptions) -> None:
        """Random places in the regions at these rows; a seed gives the same."""
        self.cutter = Cutter(regions, options)
        generator = torch.Generator().manual_seed(seed)
        share = torch.rand(len(rows), 2, dtype=torch.float64, generator=generator)
        self.angles = 2 * math.pi * torch.rand(len(rows), generator=generator)
        self.windows = self.cutter.windows(Places(rows, share))

    def at(self, degrees: float = 0.0) -> Float[Tensor, "n side side"]:
        """The patches, turned by so much more."""
        return self.cutter.cut(self.windows, self.angles + math.radians(degrees))


@dataclass(frozen=True, eq=False)
class Labelled:
    """Patches of known label, and patches of unseen regions, with labels to be told."""

    names: list[str]
    """The name of each label."""
    known: Shown
    known_labels: Int[Tensor, " m"]
    test: Shown
    truth: Int[Tensor, " n"]

    @classmethod
    def of(
        cls,
        known: list[Region],
        test: list[Region],
        label_of: Callable[[Region], str | None],
        options: MicrographOptions,
    ) -> Labelled:
        """As many patches of each label, from its regions in equal parts, at any place and angle.

        Args:
            known: regions of the patches of known label.
            test: regions of the patches to label; their labels are those asked for.
            label_of: the label of a region; regions without one are left out.
            options: the patches' size and aperture, and the seed.
        """
        names = sorted({label for region in test if (label := label_of(region)) is not None})
        n, made = min(_OF_A_LABEL, _MOST // len(names)), []
        for i, part in enumerate((known, test)):
            labels = torch.tensor([names.index(x) if (x := label_of(region)) in names else -1 for region in part])
            rows = _evenly(labels, n)
            made.append((Shown(part, rows, 2 * options.seed + i, options), labels[rows]))
        return cls(names, *made[0], *made[1])


def labels_told(labelled: Labelled, features: dict[str, Encode]) -> Table:
    """A table of how well patches of unseen regions predict their labels: chance, then each of the features.

    Args:
        labelled: the patches.
        features: by their names, functions of patches.
    """
    cells: list[list[str | float]] = [["chance", 1 / len(labelled.names), 0.0, 0.0, "", ""]]
    cells += [[name, *_figures(encode, labelled)] for name, encode in features.items()]
    what = f"{len(labelled.truth)} patches held out, at any angle"
    header = ["", f"{_K}-NN", "NMI", "ARI", *(f"turned by {turn}°" for turn in _TURNS)]
    title = f"Which of {len(labelled.names)} labels a patch has, for {what}"
    return Table(title, header, cells, ["", *(".3f" for _ in header[1:])], _NOTES)


def places_found(regions: list[Region], features: dict[str, Encode], options: MicrographOptions) -> Table:
    """A table of retrieval: whether a patch finds others of its specimen, among patches of all held-out specimens.

    Args:
        regions: the regions that patches are taken from.
        features: by their names, functions of patches.
        options: the patches' size and aperture, and the seed.
    """
    names = [region.field.specimen for region in regions]
    numbers = torch.tensor([sorted(set(names)).index(name) for name in names])
    n = min(_OF_A_SPECIMEN, max(2, _MOST // len(set(names))))
    rows = _evenly(numbers, n)
    queries, keys = (Shown(regions, rows, 2 * options.seed + i, options).at() for i in range(2))
    models = {name: (encode(queries), encode(keys)) for name, encode in features.items()}
    title = f"Retrieval of {len(rows)} held-out patches, each by another of its specimen"
    return found_by(same(numbers[rows]), models, title)


def simple_features() -> dict[str, Encode]:
    """What needs no training: the pixels themselves, and the spectrum of all directions together."""
    return {"raw pixels": lambda patches: patches.flatten(1), "radial spectrum": radial_spectrum}


def radial_spectrum(patches: Float[Tensor, "n s s"]) -> Float[Tensor, "n rings"]:
    """The logarithm of a patch's power in each ring of frequencies, less the mean over rings; turns do not change it.

    >>> radial_spectrum(torch.randn(2, 16, 16)).shape
    torch.Size([2, 7])
    """
    power = torch.fft.fft2(patches.double()).abs().square()
    at = torch.fft.fftfreq(patches.shape[-1], 1 / patches.shape[-1]).double()
    ring = (at[:, None].square() + at.square()).sqrt().round().long().flatten()
    n_rings = patches.shape[-1] // 2
    total = torch.zeros(len(patches), int(ring.max()) + 1, dtype=torch.float64).index_add_(1, ring, power.flatten(1))
    level = (total / ring.bincount())[:, 1:n_rings].clamp(min=1e-9).log()
    rings: Tensor = level - level.mean(dim=1, keepdim=True)
    return rings.float()


def _evenly(labels: Int[Tensor, " regions"], n: int) -> Int[Tensor, " rows"]:
    """Rows of regions, n of each label, all regions of a label equally often; those of label -1 are left out."""
    parts = [(labels == label).nonzero().flatten() for label in labels.unique() if label >= 0]
    return torch.cat([part[torch.arange(n) % len(part)] for part in parts])


def _figures(encode: Encode, labelled: Labelled) -> list[str | float]:
    vectors, truth, known_labels = encode(labelled.test.at()), labelled.truth, labelled.known_labels
    near = nearest_neighbours(encode(labelled.known.at()), known_labels, vectors, k=min(_K, len(known_labels)))
    groups = clustering(vectors, truth)
    changes = [relative_distance(vectors, encode(labelled.test.at(turn))) for turn in _TURNS]
    return [(near == truth).double().mean().item(), groups.nmi, groups.ari, *changes]


_NOTES = [
    f"{_K}-NN: accuracy of a vote of the {_K} most similar patches of known label, from what was trained on.",
    "NMI and ARI: agreement of k-means groups with the labels, 1 if they are the same. The number of groups is given.",
    "Turned: the distance of a patch's embedding from that of the same patch turned by so much, in units of the mean "
    "distance between patches.",
    "Untrained: the network before training, with the initial statistics of batch norm.",
]
