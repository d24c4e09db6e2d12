"""The options of data, players and training. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass

from tellapart.domains.folders import Labels
from tellapart.errors import require_option
from tellapart.training import TrainingOptions


@dataclass(frozen=True)
class GeneratorOptions(TrainingOptions):
    """Data, generator, critic and training."""

    data: str = "grid-25"
    """"ring-8" or "grid-25", mixtures of Gaussians; or pictures: a folder, a .npy, .npz or idx file, or "openmoji"."""
    labels: Labels = "auto"
    """Of pictures, what subfolders are: "auto" takes train, test, val and the like as splits; else they are not."""
    held_out: float = 0.2
    """Share of the data that training never sees, if they have no test set of their own."""
    epochs: int = 25
    """How often all training data are seen."""
    batch_size: int = 250
    """Real examples in a batch at most, on each device, and as many generated ones."""
    learning_rate: float = 2e-3
    """Step size of AdamW at its peak, for both players."""
    weight_decay: float = 0.0
    """Pull of both players' weights towards zero."""
    latent: int = 0
    """Length of the random vectors of which examples are generated; 0 for 2 (of points) and for 64 (of pictures)."""
    width: int = 0
    """Width of the hidden layers (of points), or channels of the outermost one (of pictures); 0 for 128 and for 16."""
    average: float = 0.99
    """Share of itself that the generator's running average, which is what draws, keeps at each step."""
    picture_size: int = 0
    """Side of the square to which pictures are brought, in pixels; 0 for as they come."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("latent", 0 <= self.latent <= 2**12, f"lie between 0 and {2**12}", self.latent)
        require_option("width", 0 <= self.width <= 2**12, f"lie between 0 and {2**12}", self.width)
        require_option("average", 0 <= self.average < 1, "lie in [0, 1)", self.average)
        size = self.picture_size
        require_option("picture_size", size == 0 or 8 <= size <= 1024, "be 0 or lie between 8 and 1024", size)
