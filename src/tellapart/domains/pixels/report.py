"""Pictures for the report of a run: places followed through held-out frames, and matches of two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tellapart.domains.pixels.gallery import points_with_much_to_see
from tellapart.domains.pixels.match import match
from tellapart.domains.pixels.matching import Encode, find, read
from tellapart.domains.pixels.measure import GAPS
from tellapart.domains.pixels.pictures import as_png, draw_matches, draw_places
from tellapart.runs import Picture

if TYPE_CHECKING:
    from tellapart.domains.pixels.options import PixelOptions
    from tellapart.domains.pixels.video import Video

_SEEN, _VIDEOS = 4, 3


def report_pictures(videos: list[Video], encode: Encode, options: PixelOptions, temperature: float) -> list[Picture]:
    """For the first videos: places of the first held-out frame in later ones, and matches of two frames.

    No flow is used: each place is looked for in all of a frame.
    """
    made = []
    for video in videos[:_VIDEOS]:
        gap = max((gap for gap in GAPS if gap < len(video)), default=len(video) - 1)
        random = np.random.default_rng(options.seed)
        numbers = np.unique(np.linspace(0, gap, _SEEN).astype(int))
        points = points_with_much_to_see(video.frames[0], random)
        asked = read(encode(video.frames[:1])[0], points)
        frames = [video.frames[number] for number in numbers]
        places = [points, *(find(asked, encode(frame[None])[0]).places for frame in frames[1:])]
        which = ", ".join(str(video.number(number)) for number in numbers)
        caption = (
            f"{video.name}: places of its first held-out frame, found again in frames {which}, in the same colours."
        )
        made.append(Picture(caption, as_png(draw_places(frames, places))))
        first, last = video.frames[0], video.frames[gap]
        found = match(encode, first, last, options.height, temperature)
        caption = (
            f"{video.name}: where places of frame {video.number(0)} are in frame {video.number(gap)}; of each part of "
            "the frame the surest match, if its confidence is at least 0.5."
        )
        made.append(Picture(caption, as_png(draw_matches(first, last, found.flow, found.confidence))))
    return made
