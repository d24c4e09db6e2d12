"""What the report shows of a run: places of held-out frames, each followed by flow and so seen several times."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image

from tellapart.domains.pixels.flow import Flows
from tellapart.domains.pixels.matching import Encode, read
from tellapart.domains.pixels.pictures import as_png
from tellapart.runs import MAX_SHOWN, Gallery

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from tellapart.domains.pixels.options import PixelOptions
    from tellapart.domains.pixels.video import Video

_LATER = (0, 5, 10, 20, 40)  # frames after the first in which a place is seen again
_STARTS, _PLACES, _PATCH, _ZOOM = 8, 6, 33, 2


class _Seen(NamedTuple):
    """A place in a frame."""

    name: str
    label: str
    vector: torch.Tensor
    patch: bytes


def make_gallery(videos: list[Video], encode: Encode, options: PixelOptions) -> Gallery:
    """Places with much to see, from frames spread over each video, and where flow leads from them."""
    seen = [one for number, video in enumerate(videos) for one in _seen(video, number, encode, options)][:MAX_SHOWN]
    return Gallery(
        names=[one.name for one in seen],
        texts=None,
        held_out=torch.ones(len(seen), dtype=torch.bool),
        vectors=torch.stack([one.vector for one in seen]),
        captions=None,
        thumbnails=[one.patch for one in seen],
        labels=[one.label for one in seen],
        kind="place",
    )


def named(video: Video, frame: int, place: Float[np.ndarray, " 2"]) -> str:
    """A place in the numbers of the file: its frame, and pixels of the frame as it was scaled."""
    return f"{video.name}:{video.number(frame)},{place[0]:.0f},{place[1]:.0f}"


def _seen(video: Video, number: int, encode: Encode, options: PixelOptions) -> list[_Seen]:
    random, flows, found = np.random.default_rng([options.seed, number]), Flows(video, options.hop), []
    last = max(0, len(video) - 1 - max(_LATER))
    for start in sorted(set(np.linspace(0, last, _STARTS).astype(int).tolist())):
        points = points_with_much_to_see(video.frames[start], random)
        for later in _LATER:
            if (frame := start + later) >= len(video):
                continue
            places, reliable = flows.follow(start, frame, points)
            vectors = read(encode(video.frames[frame][None])[0], places)
            for row in np.flatnonzero(reliable):
                place, vector = places[row], vectors[row]
                label = f"{named(video, start, points[row])} followed"
                found.append(_Seen(named(video, frame, place), label, vector, _patch(video.frames[frame], place)))
    return found


def points_with_much_to_see(frame: UInt8[np.ndarray, "h w 3"], random: np.random.Generator) -> Float[np.ndarray, "n 2"]:
    """Points drawn from the quarter of a frame's pixels where brightness changes most, none of them at its edge."""
    down, right = np.gradient(frame.mean(axis=2))
    change = np.hypot(down, right)
    edge = min(_PATCH // 2, (min(change.shape) - 1) // 3)
    inner = change[edge:-edge, edge:-edge]
    rows, cols = np.nonzero(inner >= np.quantile(inner, 0.75))
    chosen = random.permutation(len(rows))[:_PLACES]
    return np.asarray(np.stack([cols[chosen], rows[chosen]], axis=1) + edge, dtype=np.float32)


def _patch(frame: UInt8[np.ndarray, "h w 3"], place: Float[np.ndarray, " 2"]) -> bytes:
    """What lies round a place, enlarged, as a PNG file."""
    half = _PATCH // 2
    x, y = np.rint(place).astype(int)
    padded = np.pad(frame, ((half, half), (half, half), (0, 0)), mode="edge")
    patch = Image.fromarray(padded[y : y + _PATCH, x : x + _PATCH])
    return as_png(np.asarray(patch.resize((_ZOOM * _PATCH, _ZOOM * _PATCH), Image.Resampling.BICUBIC)))
