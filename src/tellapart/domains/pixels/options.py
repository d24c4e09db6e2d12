"""The options of data, views and training. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tellapart.domains.pixels.video import LEAST_SIDE
from tellapart.errors import require_option
from tellapart.training import TrainingOptions

HEIGHTS = (LEAST_SIDE, 4320)
"""The least and the greatest height that frames are scaled down to."""


@dataclass(frozen=True)
class PixelOptions(TrainingOptions):
    """Data, views and training."""

    data: str
    """A video file; a folder of pictures, which are frames in the order of their names; or a folder of such."""
    held_out: float = 0.2
    """Share of each video's frames, its last ones, that training never sees."""
    epochs: int = 8
    """How often each frame is the first of two."""
    batch_size: int = 6
    """Pairs of views in a batch at most, on each device."""
    learning_rate: float = 2e-3
    """Step size of AdamW at its peak."""
    height: int = 240
    """Frames that are higher are scaled down to this height, in pixels."""
    every: int = 1
    """Take each so many-th frame of a video."""
    counterpart: Literal["flow", "still"] = "flow"
    """Whether the second view is of a later or earlier frame, to which optical flow leads, or of the same frame."""
    gap: int = 60
    """Frames that two views are apart at most."""
    hop: int = 5
    """Frames that one flow spans at most; over larger gaps it is chained."""
    view: int = 192
    """Side of the views, in pixels."""
    queries: int = 300
    """Points of each pair of views that are to be found, at most."""
    moving: float = 0.5
    """Share of them, at most, that move by more than a pixel against most of the frame."""
    window: float = 3.0
    """Cells round the place of a query that are no negatives for it."""
    stretch: float = 1.4
    """Views are enlarged or reduced by at most this factor, and as much in one direction against the other."""
    turn: float = 25.0
    """Views are turned by at most so many degrees."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (
            ("height", *HEIGHTS),
            ("every", 1, 10**6),
            ("gap", 1, 10**6),
            ("hop", 1, 10**6),
            ("view", LEAST_SIDE, 2048),
            ("queries", 1, 10**5),
        ):
            value = getattr(self, name)
            require_option(name, least <= value <= most, f"lie between {least} and {most}", value)
        require_option("moving", 0 <= self.moving <= 1, "lie between 0 and 1", self.moving)
        require_option("window", 0 <= self.window <= 1000, "lie between 0 and 1000 cells", self.window)
        require_option("stretch", 1 <= self.stretch <= 4, "lie between 1 and 4", self.stretch)
        require_option("turn", 0 <= self.turn <= 180, "lie between 0 and 180 degrees", self.turn)


def height_of(options: PixelOptions, given: int | None) -> int:
    """The height that frames are scaled down to: what was given, or that of training.

    Raises:
        InputError: a height that no frame can have.

    >>> height_of(PixelOptions(data="film.mp4"), None)
    240
    """
    if given is None:
        return options.height
    require_option("height", HEIGHTS[0] <= given <= HEIGHTS[1], f"lie between {HEIGHTS[0]} and {HEIGHTS[1]}", given)
    return given
