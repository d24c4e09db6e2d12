"""Optical flow: where each pixel of a frame is in another frame, and where that can be relied on.

Flow is Kroeger et al. 2016 (DIS, https://arxiv.org/abs/1603.03590), as OpenCV computes it. Over many frames it is
chained: F_ac(x) = F_ab(x) + F_bc(x + F_ab(x)).
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tellapart.domains.pixels.needed import needed

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

    from tellapart.domains.pixels.video import Video

AGREE = 1.0
"""Pixels within which a way there and back must end where it began."""
_KEPT = 1000  # flows of one hop: some 300 MiB at 320 × 240


def dis_flow(a: UInt8[np.ndarray, "h w 3"], b: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 2"]:
    """Flow from frame a to frame b in pixels: pixel x of a is at x + F(x) in b.

    >>> flat = np.zeros((64, 64, 3), np.uint8)
    >>> float(np.abs(dis_flow(flat, flat)).max())
    0.0
    """
    cv2 = needed("cv2")
    grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (a, b)]
    flow: np.ndarray = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    return flow


def sampled(field: Float[np.ndarray, "h w c"], points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n c"]:
    """A field at points between its pixels, bilinear; outside, what is at its edge.

    >>> sampled(pixels(4, 4), np.array([[1.5, 2.25]], np.float32)).tolist()
    [[1.5, 2.25]]
    """
    cv2 = needed("cv2")
    flat = points.astype(np.float32).reshape(-1, 2)
    # OpenCV rounds the place between pixels to 1/32, which is less than what flow is good for.
    made = np.empty((len(flat), field.shape[2]), np.float32)
    for start in range(0, len(flat), 2**14):  # remap takes at most 2^15 rows
        part = flat[start : start + 2**14, None]
        made[start : start + len(part)] = cv2.remap(
            field.astype(np.float32, copy=False), part, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ).reshape(len(part), -1)
    found: np.ndarray = made.reshape(*points.shape[:-1], field.shape[2])
    return found


def pixels(height: int, width: int) -> Float[np.ndarray, "h w 2"]:
    """The place (x, y) of each pixel.

    >>> pixels(2, 3)[1, 2].tolist()
    [2.0, 1.0]
    """
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)


def inside(points: Float[np.ndarray, "*n 2"], height: int, width: int) -> Bool[np.ndarray, "*n"]:
    """Whether points lie in a frame.

    >>> inside(np.array([[0.0, 0.0], [3.0, 1.5]]), 2, 4).tolist()
    [True, False]
    """
    return np.asarray(((points >= 0) & (points <= (width - 1, height - 1))).all(axis=-1))


class Followed(NamedTuple):
    """Where points are in another frame, and whether that can be relied on."""

    places: Float[np.ndarray, "n 2"]
    reliable: Bool[np.ndarray, " n"]


class Flows:
    """Where points of a video's frames are in its other frames, by flow chained over hops; the latest are in memory.

    Args:
        video: the frames.
        hop: frames that one flow spans at most.
    """

    def __init__(self, video: Video, hop: int) -> None:
        self.video, self.hop = video, hop
        self._flow: Any = lru_cache(_KEPT)(self._of_one_hop)

    def follow(self, a: int, b: int, points: Float[np.ndarray, "n 2"]) -> Followed:
        """Where points of frame a are in frame b, and whether that can be relied on.

        It can where the way back ends less than a pixel from where it began, |F + F_back∘F| < 1, and both ends lie in
        the frame.
        """
        places = self._chain(a, b, points)
        apart = np.linalg.norm(self._chain(b, a, places) - points, axis=1)
        size = self.video.frames.shape[1:3]
        return Followed(places, (apart < AGREE) & inside(points, *size) & inside(places, *size))

    def _chain(self, a: int, b: int, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        stops = [*range(a, b, self.hop if b > a else -self.hop), b]
        for here, there in itertools.pairwise(stops):
            points = points + sampled(self._flow(here, there), points)
        return points

    def _of_one_hop(self, a: int, b: int) -> np.ndarray:
        return dis_flow(self.video.frames[a], self.video.frames[b]).astype(np.float16)
