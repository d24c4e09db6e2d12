"""The options of data, patches and training. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tellapart.domains.micrographs.micrographs import GENERATED
from tellapart.errors import require_option
from tellapart.training import TrainingOptions


@dataclass(frozen=True)
class MicrographOptions(TrainingOptions):
    """Data, patches and training."""

    data: str = GENERATED
    """A TIFF, PNG or other picture, or a folder of them (its subfolders are labels); "generated" for made-up ones."""
    held_out: float = 0.25
    """Share that training never sees: of the specimens of every label, or of each field's width."""
    held_out_by: Literal["specimen", "region"] = "specimen"
    """Whether whole specimens are held out, or the right part of every field."""
    specimen: Literal["file", "folder"] = "file"
    """Which micrographs are of one specimen, and so no negatives of each other: a file's pages, or a folder's files."""
    content: Literal["intensity", "grains"] = "intensity"
    """What pixels are: brightness, or the number of a grain; grains are drawn with a shade each."""
    pixel_size: float = 0.0
    """Micrometres to which pixels are brought by what files tell of theirs; 0 for pixels as they come."""
    patch: int = 64
    """Side of a patch, in pixels."""
    aperture: Literal["disc", "square"] = "disc"
    """What a patch is seen through; black corners of a turned square tell the angle, so take it to compare only."""
    counterpart: Literal["elsewhere", "itself"] = "elsewhere"
    """Whether a patch is paired with one from another place of its specimen, or with itself, to compare."""
    turn: bool = True
    """Whether patches are cut turned, each by an angle of its own."""
    variation: float = 1.0
    """How much focus, light, gain and noise of patches vary in training; 0 for not at all."""
    batch_size: int = 64
    """Pairs of patches in a batch at most, on each device."""
    epochs: int = 20
    """How often the first patches of the pairs cover the data."""

    seed_bits: ClassVar[int] = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        is_side = 16 <= self.patch <= 512 and self.patch % 8 == 0
        require_option("patch", is_side, "be a multiple of 8 from 16 to 512", self.patch)
        require_option("pixel_size", 0 <= self.pixel_size < 10**6, "lie between 0 and 10^6", self.pixel_size)
        require_option("variation", 0 <= self.variation <= 3, "lie between 0 and 3", self.variation)
