"""How many points are found within a few pixels, by the gap between frames: what a run is measured by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tellapart.domains.pixels.flow import Flows, dis_flow, pixels, sampled
from tellapart.domains.pixels.matching import Encode, find, read
from tellapart.evaluation import Table

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.domains.pixels.options import PixelOptions
    from tellapart.domains.pixels.video import Video

GAPS = (5, 10, 30, 60)
WITHIN = 5.0
"""Pixels within which a point counts as found."""
_PAIRS, _POINTS, _DRAWN = 12, 200, 8000  # of each video and gap

Locate = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Called as `locate(a, b, points)`: the places in frame b of points of frame a."""


class Asked(NamedTuple):
    """Two frames, points of the first, and where they are in the second."""

    a: np.ndarray
    b: np.ndarray
    points: Float[np.ndarray, "n 2"]
    places: Float[np.ndarray, "n 2"]

    def moved(self) -> Float[np.ndarray, " n"]:
        """How far each point moves, in pixels."""
        return np.asarray(np.linalg.norm(self.places - self.points, axis=1))


def places_found(videos: list[Video], encoders: dict[str, Encode], options: PixelOptions) -> Table:
    """A table of the share of points that are found, for each gap between two frames.

    Args:
        videos: what is measured on.
        encoders: for each encoder's name, what makes maps of frames.
        options: the hop of flow, and the seed.
    """
    ways: dict[str, Locate] = {"flow in one step": by_flow}
    ways |= {name: by_encoder(encode) for name, encode in encoders.items()}
    rows: list[list[str | float]] = []
    for gap in GAPS:
        asked = [one for number, video in enumerate(videos) for one in questions(video, gap, options, number)]
        if asked:
            shares = [share_found(asked, locate) for locate in ways.values()]
            moves = np.concatenate([one.moved() for one in asked])
            rows.append([f"{gap}", len(moves), float(np.median(moves)), *shares])
    title = f"Share of points found within {WITHIN:g} pixels in a held-out frame, by the gap between frames"
    header = ["frames apart", "points", "move", *ways]
    return Table(title, header, rows, ["", ",.0f", ".1f", *(".3f" for _ in ways)], _NOTES)


def questions(video: Video, gap: int, options: PixelOptions, number: int = 0) -> Iterator[Asked]:
    """Pairs of frames that far apart, with points that chained flow follows there and back, and that move enough.

    On a fixed camera most points stay where they are; they would say nothing.
    """
    random = np.random.default_rng([options.seed, number, gap])
    flows, n = Flows(video, options.hop), len(video) - gap
    for a in sorted(set(np.linspace(0, n - 1, _PAIRS).astype(int).tolist())) if n > 0 else []:
        drawn = random.permutation(pixels(*video.frames.shape[1:3]).reshape(-1, 2))[:_DRAWN]
        places, reliable = flows.follow(a, a + gap, drawn)
        moves = np.linalg.norm(places - drawn, axis=1) > WITHIN
        if (kept := np.flatnonzero(reliable & moves)[:_POINTS]).size:
            yield Asked(video.frames[a], video.frames[a + gap], drawn[kept], places[kept])


def share_found(asked: list[Asked], locate: Locate, within: float = WITHIN) -> float:
    """The share of all points that are located within so many pixels of where they are."""
    apart = [np.linalg.norm(locate(one.a, one.b, one.points) - one.places, axis=1) for one in asked]
    return float((np.concatenate(apart) < within).mean())


def by_flow(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Where one flow from frame to frame leads."""
    return np.asarray(points + sampled(dis_flow(a, b), points))


def by_encoder(encode: Encode) -> Locate:
    """Where an encoder finds what is most alike."""

    def locate(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> np.ndarray:
        # One by one: frames may be pictures of different sizes.
        return find(read(encode(a[None])[0], points), encode(b[None])[0]).places

    return locate


_NOTES = [
    "Where a point is, is what flow says that is chained over a few frames at a time (see --hop), where it comes back "
    "within a pixel. Points that it loses are not asked for, so that all figures are of easier points; nor are those "
    f"that move by less than {WITHIN:g} pixels. Gaps at which no point is left are left out.",
    "Move: the median of how far points move, in pixels of the frames as they were scaled. Flow in one step: DIS from "
    "the first frame to the last. Untrained: the network before training.",
]
