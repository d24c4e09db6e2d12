"""Places of micrographs in groups: a table of them, and the micrograph in the groups' colours."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import nn

from tellapart.domains.micrographs.patches import Region
from tellapart.errors import InputError
from tellapart.files import atomic_write
from tellapart.runs import check_rows_ending, closeness, group_numbers, table_of_groups, write_rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

    from tellapart.evaluation import Table

_COLOURS = torch.tensor(
    [
        [0, 114, 178],
        [230, 159, 0],
        [0, 158, 115],
        [204, 121, 167],
        [86, 180, 233],
        [213, 94, 0],
        [240, 228, 66],
        [90, 90, 90],
        [148, 103, 189],
        [140, 86, 75],
    ]
)  # of Okabe and Ito, which colour-blind readers can distinguish, with black made grey, and two more
_LONGEST = 1600  # pixels of a picture's longer side
_INK = 0.45
ENDINGS = (".csv", ".parquet", ".png")
"""Of the files that groups are written to."""


@dataclass(frozen=True, eq=False)
class PlaceClusters:
    """Groups of places that lie in a grid on each micrograph, the largest group first; -1 is in none."""

    regions: list[Region]
    names: list[str]
    number: Int[Tensor, " n"]
    closeness: Float[Tensor, " n"]
    """The cosine of each place with the mean of its group."""
    region: Int[Tensor, " n"]
    grids: list[tuple[int, int]]
    """How many places each micrograph has, down and across."""

    @classmethod
    def of(
        cls,
        regions: list[Region],
        region: Int[Tensor, " n"],
        grids: list[tuple[int, int]],
        names: list[str],
        vectors: Float[Tensor, "n d"],
        n: int | None,
    ) -> PlaceClusters:
        """Group places by their vectors, in n groups or, for `None`, in as many as HDBSCAN finds.

        Raises:
            InputError: more groups than places.
        """
        number = group_numbers(vectors, n, "place")
        return cls(regions, names, number, closeness(vectors, number), region, grids)

    def table(self) -> Table:
        """How many places each group has, on how many micrographs, and its most typical one."""
        n = len(self.regions)
        title = f"{len(self.names)} places of {n} micrograph{'s' if n > 1 else ''} in groups"
        fields = [self.regions[region].field.name for region in self.region.tolist()]
        return table_of_groups(self.names, self.number, self.closeness, "place", title, {"micrographs": fields})

    def save(self, path: Path) -> None:
        """Write the group of each place as CSV or Parquet, or a micrograph in the groups' colours as PNG.

        Raises:
            InputError: another suffix, a picture of several micrographs, or the file cannot be written.
        """
        check_rows_ending(path, ENDINGS)
        if path.suffix != ".png":
            write_rows(path, {"place": self.names, "group": self.number.tolist()})
            return
        if len(self.regions) > 1:
            raise InputError(f"{path}: a picture shows one micrograph, not {len(self.regions)}. Name one, or a .csv.")
        with atomic_write(path) as file:
            file.write(self.as_png(0))

    def as_png(self, which: int, longest: int = _LONGEST) -> bytes:
        """The picture of `coloured` as a PNG file."""
        buffer = io.BytesIO()
        Image.fromarray(self.coloured(which, longest).numpy()).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()

    def coloured(self, which: int, longest: int = _LONGEST) -> UInt8[Tensor, "h w 3"]:
        """A micrograph in grey, with the colour of its group laid over each place; of `longest` pixels at most a side.

        Places in no group stay grey.
        """
        grey = _overview(self.regions[which], longest)
        number = self.number[self.region == which].view(self.grids[which])
        near = nn.functional.interpolate(number[None, None].double(), grey.shape, mode="nearest-exact")[0, 0].long()
        colours = _COLOURS[near.clamp(min=0) % len(_COLOURS)]
        ink = _INK * (near >= 0)[..., None]
        return ((1 - ink) * 255 * grey[..., None] + ink * colours).round().to(torch.uint8)


def _overview(region: Region, longest: int) -> Float[Tensor, "h w"]:
    """The region in [0, 1], every k-th pixel of it, from its 1st to its 99th percentile."""
    pixels = region.field.pixels
    step = max(1, -(-max(pixels.shape[0], region.right - region.left) // longest))
    part = np.asarray(pixels[::step, region.left : region.right : step], dtype=np.float32)
    part = part[..., :3].mean(axis=-1) if part.ndim == 3 else part
    low, high = np.percentile(part, (1, 99))
    return torch.from_numpy(((part - low) / max(high - low, 1e-12)).clip(0, 1))
