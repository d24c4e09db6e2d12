"""The micrographs of a run, for training and held out, and what is made of them: figures and a gallery."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.micrographs.measure import Labelled, labels_told, places_found, simple_features
from tellapart.domains.micrographs.micrographs import Micrographs, load_micrographs
from tellapart.domains.micrographs.options import MicrographOptions
from tellapart.domains.micrographs.patches import Cutter, Places, Region
from tellapart.domains.micrographs.split import split_regions
from tellapart.runs import MAX_SHOWN, Gallery, thumbnails
from tellapart.training import Batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

    from tellapart.evaluation import Table
    from tellapart.runs import Run

    Encode = Callable[[Tensor], Float[Tensor, "n d"]]


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of regions, in each of which a patch is to be taken at random."""

    cutter: Cutter
    specimen: Int[Tensor, " regions"]
    """The specimen of each of the cutter's regions."""
    region: Int[Tensor, " n"]
    low: Float[Tensor, "n 2"]
    """Where each block begins, as shares of the room of its region, down and to the right."""
    high: Float[Tensor, "n 2"]
    device: torch.device | None = None

    def __len__(self) -> int:
        return len(self.region)

    def to(self, device: torch.device) -> Blocks:
        """The same, for patches that are wanted on `device`."""
        return replace(self, device=device)

    def places(self) -> Places:
        """A random place of each block."""
        share = torch.rand(len(self), 2, dtype=torch.float64)
        return Places(self.region, self.low + share * (self.high - self.low))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Regions of micrographs to train on, and regions that training never sees."""

    options: MicrographOptions
    micrographs: Micrographs
    training: list[Region]
    test: list[Region]

    @classmethod
    def load(cls, options: MicrographOptions, run: Run, source: str | None = None) -> Dataset:
        """A run's own data; or, from another source, data divided in the same way: labels of one part are known.

        Raises:
            InputError: they are missing, broken or too few; or the run's own changed since it began.
        """
        micrographs = load_micrographs(options.data if source is None else source, options)
        if source is None:
            run.check_data(micrographs.fingerprint)
        return cls(options, micrographs, *split_regions(micrographs.fields, options))

    def batches(self) -> Batches:
        """The batches of a training: their rows are blocks of the size of a patch, of all regions."""
        return Batches(self.n_rows(), self.options.batch_size, self.options.epochs, self.options.seed)

    def n_rows(self) -> int:
        """How many blocks there are in the regions to train on."""
        return int(self.n_blocks.prod(dim=1).sum())

    def unseen(self) -> Dataset:
        """The same with the held-out regions in the place of those to train on, to measure the objective there."""
        return replace(self, training=self.test)

    def blocks(self, rows: Int[Tensor, " n"]) -> Blocks:
        """The blocks at these rows."""
        n_blocks = self.n_blocks
        end = n_blocks.prod(dim=1).cumsum(0)
        region = torch.searchsorted(end, rows, right=True)
        inside, size = rows - (end - n_blocks.prod(dim=1))[region], n_blocks[region]
        at = torch.stack([inside // size[:, 1], inside % size[:, 1]], dim=1)
        return Blocks(Cutter(self.training, self.options), self.specimens, region, at / size, (at + 1) / size)

    @cached_property
    def n_blocks(self) -> Int[Tensor, "regions 2"]:
        """How many blocks each region to train on has, down and across."""
        return torch.tensor([region.blocks(self.options.patch) for region in self.training])

    @cached_property
    def specimens(self) -> Int[Tensor, " regions"]:
        """The number of the specimen of each region to train on."""
        names = {name: i for i, name in enumerate(sorted({region.field.specimen for region in self.training}))}
        return torch.tensor([names[region.field.specimen] for region in self.training])

    def measure(self, before: Encode, after: Encode) -> Table:
        """Guessing, simple features, the untrained and the trained network, on patches of what was held out.

        With labels: how well they can be told. Without: whether a patch finds others of its specimen.
        """
        features = simple_features() | {"untrained": before, "trained": after}
        if self.has_labels():
            table = labels_told(self.labelled(), features)
        else:
            table = places_found(self.test, features, self.options)
        return replace(table, notes=[*self.micrographs.left_out, *table.notes])

    def labelled(self) -> Labelled:
        """Patches with labels of both parts, the same for all that is measured by them."""
        return Labelled.of(self.training, self.test, self.label_of, self.options)

    def has_labels(self) -> bool:
        """Whether several labels occur in both parts."""
        return all(len({self.label_of(region) for region in part} - {None}) > 1 for part in (self.training, self.test))

    def label_of(self, region: Region) -> str | None:
        """The subfolder that a region's file is in; or, if parts of all fields are held out, else the specimen."""
        by_region = self.options.held_out_by == "region"
        return region.field.label or (region.field.specimen if by_region else None)

    def gallery(self, after: Encode) -> Gallery:
        """Upright patches of what was trained on and of what was held out, with their embeddings."""
        parts = [self._shown(part) for part in (self.training, self.test)]
        names = [name for part in parts for name in part[0]]
        shown = torch.cat([patches for _, patches, _ in parts])
        held_out = torch.arange(len(names)) >= len(parts[0][0])
        return Gallery(
            names=names,
            texts=None,
            held_out=held_out,
            vectors=after(shown),
            captions=None,
            thumbnails=thumbnails(as_picture(shown), held_out),
            labels=[label or "" for part in parts for label in part[2]] if self.has_labels() else None,
            kind="place",
        )

    def _shown(self, regions: list[Region]) -> tuple[list[str], Tensor, list[str | None]]:
        """Patches that stand side by side, at most `MAX_SHOWN`, drawn from all: their names, themselves, labels."""
        cutter, places = Cutter(regions, self.options), side_by_side(regions, self.options.patch)
        drawn = np.random.default_rng(self.options.seed).permutation(len(places.region))[:MAX_SHOWN]
        places = places.rows(torch.from_numpy(np.sort(drawn)))
        patches = cutter.cut(cutter.windows(places), torch.zeros(len(places.region)))
        return names_of(cutter, places), patches, [self.label_of(regions[i]) for i in places.region.tolist()]


def side_by_side(regions: list[Region], side: int, overlap: int = 1) -> Places:
    """Places of patches that cover each region: side by side, or overlapping where its size is no multiple.

    With an overlap of k, k times as many down and across.
    """
    region, share = [], []
    for number, each in enumerate(regions):
        down, across = (torch.linspace(0, 1, n).double() for n in grid_of(each, side, overlap))
        share.append(torch.cartesian_prod(down, across))
        region.append(torch.full((len(share[-1]),), number))
    return Places(torch.cat(region), torch.cat(share))


def grid_of(region: Region, side: int, overlap: int = 1) -> tuple[int, int]:
    """How many of these places a region has, down and across."""
    down, across = (max(1, math.ceil(overlap * size / side)) for size in (region.height, region.width))
    return down, across


def names_of(cutter: Cutter, places: Places) -> list[str]:
    """The names of patches: that of the micrograph, and x and y of the upper left corner in its pixels."""
    corners = cutter.corners(places).tolist()
    fields = (cutter.regions[i].field for i in places.region.tolist())
    return [f"{field.name}@{x},{y}" for field, (x, y) in zip(fields, corners, strict=True)]


def as_picture(patches: Float[Tensor, "n s s"]) -> UInt8[Tensor, "n 1 s s"]:
    """Patches for the eye: from 2.5 deviations below the mean to as many above, on the grey of the mean."""
    return ((patches / 5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)[:, None]
