"""Two views of a video: two frames, each seen through a warp of its own, and points that are known in both.

All randomness comes from torch's default generator.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tellapart.domains.pixels.flow import AGREE, Followed, inside
from tellapart.domains.pixels.needed import needed

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int, UInt8

    from tellapart.domains.pixels.options import PixelOptions

_DRAWN = 6  # points drawn for each that is wanted: many are lost at edges, and where flow cannot be relied on


class Warp(NamedTuple):
    """An affine map of a view's points to a frame's: x = linear · v + shift."""

    linear: Float[np.ndarray, "2 2"]
    shift: Float[np.ndarray, " 2"]

    def to_frame(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Points of the view, in the frame."""
        return np.asarray(points @ self.linear.T + self.shift)

    def to_view(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Points of the frame, in the view."""
        return np.asarray((points - self.shift) @ np.linalg.inv(self.linear).T)

    def seen(self, frame: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "side side 3"]:
        """The frame through the warp, mirrored at its edges."""
        cv2 = needed("cv2")
        matrix = np.hstack([self.linear, self.shift[:, None]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        view: np.ndarray = cv2.warpAffine(frame, matrix, (side, side), flags=how, borderMode=cv2.BORDER_REFLECT_101)
        return view


class TwoViews(NamedTuple):
    """Two views, and points of the first with their places in the second, in pixels."""

    first: UInt8[np.ndarray, "side side 3"]
    second: UInt8[np.ndarray, "side side 3"]
    points: Float[np.ndarray, "n 2"]
    places: Float[np.ndarray, "n 2"]


def two_views(
    frames: tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]],
    follow: Callable[[np.ndarray], Followed],
    options: PixelOptions,
) -> TwoViews:
    """Two frames through independent warps A and B, and points x with their places B⁻¹(A x + F(A x)).

    Args:
        frames: the two.
        follow: where points of the first frame are in the second; those that cannot be relied on are left out.
        options: of the views.
    """
    (height, width), side = frames[0].shape[:2], options.view
    middle = _uniform(2, 0.15, 0.85) * (width - 1, height - 1)
    first = _random_warp(middle, options)
    # Views overlap, but neither tells where the other is: on a fixed camera, position alone would answer.
    aim = follow(middle[None]).places[0] + _uniform(2, -0.3, 0.3) * side
    second = _random_warp(aim, options)
    points = _uniform(2 * _DRAWN * options.queries, 0, side - 1).reshape(-1, 2)
    starts = first.to_frame(points)
    ends, reliable = follow(starts)
    places = second.to_view(ends)
    known = np.flatnonzero(reliable & inside(places, side, side))
    kept = chosen(known, (ends - starts)[known], options)
    return TwoViews(first.seen(frames[0], side), second.seen(frames[1], side), points[kept], places[kept])


def chosen(
    known: Int[np.ndarray, " k"], moves: Float[np.ndarray, "k 2"], options: PixelOptions
) -> Int[np.ndarray, " n"]:
    """The first points, of which a share are those that move by more than a pixel against most of the frame.

    Of small things that move on a still background there would be few points otherwise.

    >>> from tellapart.domains.pixels import PixelOptions
    >>> moves = np.array([[0.0, 0.0]] * 4 + [[9.0, 0.0]])
    >>> chosen(np.arange(5), moves, PixelOptions(data="film.mp4", queries=2, moving=0.5)).tolist()
    [4, 0]
    """
    if not len(known):
        return known
    against = np.linalg.norm(moves - np.median(moves, axis=0), axis=1) > AGREE
    moving = known[against][: round(options.moving * options.queries)]
    others = known[~np.isin(known, moving)]
    return np.concatenate([moving, others])[: options.queries]


def recoloured(views: UInt8[Tensor, "n 3 side side"]) -> UInt8[Tensor, "n 3 side side"]:
    """Each view with a random brightness, contrast and tint of its own, one in five grey, with a little noise."""
    n = len(views)
    x = views.float()
    grey = x.mul(x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    share = torch.rand(n, 1, 1, 1) * (torch.rand(n, 1, 1, 1) > 0.2)
    x = torch.lerp(grey, x, 1.5 * share)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    gain, lift = 0.5 + torch.rand(n, 1, 1, 1), 80 * torch.rand(n, 1, 1, 1) - 40
    tint = 0.85 + 0.3 * torch.rand(n, 3, 1, 1)
    x = ((x - mean) * gain + mean + lift) * tint
    x = x + 6 * torch.rand(n, 1, 1, 1) * torch.randn_like(x)
    return x.round().clamp(0, 255).to(torch.uint8)


def _random_warp(middle: Float[np.ndarray, " 2"], options: PixelOptions) -> Warp:
    """A warp that puts the view's centre at `middle` of the frame."""
    turn, lean = math.radians(options.turn) * _uniform(2, -1, 1)
    scale, ratio = options.stretch ** _uniform(2, -1, 1)
    ratio = ratio**0.5
    linear = _turned(turn) @ _turned(lean) @ np.diag([scale * ratio, scale / ratio]) @ _turned(-lean)
    centre = np.full(2, (options.view - 1) / 2)
    return Warp(linear, middle - linear @ centre)


def _turned(angle: float) -> Float[np.ndarray, "2 2"]:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _uniform(n: int, low: float, high: float) -> Float[np.ndarray, " n"]:
    return low + (high - low) * torch.rand(n, dtype=torch.float64).numpy()
