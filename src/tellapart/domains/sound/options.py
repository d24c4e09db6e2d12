"""The options that systems of sounds with pictures share. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tellapart.errors import require_option
from tellapart.training import TrainingOptions

_SIZES = 8, 1024


@dataclass(frozen=True)
class SoundOptions(TrainingOptions):
    """Data, clocks and training of systems of sounds with pictures."""

    data: str
    """A folder with sounds.csv and pictures.csv, of the columns file and time; or with other sources of times."""
    held_out: float = 0.2
    """Share of the sounds that training never sees: the last ones, with the pictures of their time."""
    batch_size: int = 256
    """Sounds in a batch at most, on each device: neighbours in time."""
    picture_size: int = 32
    """Side of the square to which pictures are shrunk, in pixels."""
    seconds: float = 2.0
    """Length of a clip that the encoder hears, in seconds; it is cut at random from longer sounds."""
    every: float = 0.0
    """Cut each recording into a sound every so many seconds, each with its own time; 0 for a sound that is the file."""
    clock: Literal["known", "learned", "drifting"] = "known"
    """Whether offset and sigma are known, or learned from where these options put them; perhaps with a drift, too."""
    offset: float = 0.0
    """How far the sounds' clocks are ahead of the pictures', in seconds."""
    sigma: float = 1.0
    """Standard deviation of the clocks' error, in seconds."""
    margin: float = 4.0
    """How far a batch's pictures reach beyond the time of its sounds, as a multiple of sigma."""

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = _SIZES
        require_option(
            "picture_size", low <= self.picture_size <= high, f"lie between {low} and {high}", self.picture_size
        )
        require_option("seconds", 0.2 <= self.seconds <= 600, "lie between 0.2 and 600", self.seconds)
        require_option(
            "every", self.every == 0 or 0.2 <= self.every <= 3600, "be 0 or lie between 0.2 and 3600", self.every
        )
        require_option("offset", abs(self.offset) < 1e12, "be a finite number of seconds", self.offset)
        require_option("sigma", 1e-3 <= self.sigma <= 1e6, "lie between 0.001 and 1000000", self.sigma)
        require_option("margin", 1 <= self.margin <= 100, "lie between 1 and 100", self.margin)

    def is_learned(self) -> bool:
        """Whether the clocks are learned."""
        return self.clock != "known"

    def reach(self) -> float:
        """How far apart a sound and a picture of a batch may be, in seconds, after the offset is taken off."""
        return self.margin * self.sigma
