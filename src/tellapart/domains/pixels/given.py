"""What a program hands in, or a command line names: frames of videos, pictures and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.domains.given import is_source, refuse
from tellapart.domains.pixels.video import LEAST_SIDE, PICTURES, Video, read_frame, read_picture, read_videos
from tellapart.errors import InputError, exists, requirement

if TYPE_CHECKING:
    from jaxtyping import UInt8

_ARRAYS = "a uint8 array (h, w, 3)"


def as_videos(given: Any, height: int, every: int = 1) -> list[Video]:
    """Frames of what is named or handed in: a picture is a video of one frame.

    Args:
        given: a picture file, or what `read_videos` takes; or a uint8 array `(h, w, 3)` or `(n, h, w, 3)`.
        height: frames that are higher are scaled down to this height; arrays stay as they are.
        every: take each so many-th frame of a video.

    Raises:
        InputError: none of these, or something missing, broken or too small.
    """
    if is_source(given):
        if _names_a_picture(str(given)):
            return [Video(Path(given).name, read_picture(Path(given), height)[None])]
        return read_videos(str(given), height, every)
    if not isinstance(given, np.ndarray) or given.dtype != np.uint8 or given.ndim not in (3, 4) or given.shape[-1] != 3:
        refuse(given, f"be a video, a picture, a folder of frames, or {_ARRAYS} or (n, h, w, 3)")
    frames = given if given.ndim == 4 else given[None]
    if not len(frames) or min(frames.shape[1:3]) < LEAST_SIDE:
        must = f"hold a frame of at least {LEAST_SIDE} × {LEAST_SIDE} pixels"
        raise InputError(requirement("x", must, f"shape {given.shape}"))
    return [Video("array", frames)]


def as_frame(given: Any) -> UInt8[np.ndarray, "h w 3"]:
    """One picture at its full size: a file, a frame of a video as VIDEO:FRAME, or an array.

    Raises:
        InputError: none of these, or something missing, broken or too small.
    """
    if not is_source(given):
        if not isinstance(given, np.ndarray) or given.ndim != 3:
            refuse(given, f"be a picture file, a frame as VIDEO:FRAME, or {_ARRAYS}")
        return np.asarray(as_videos(given, height=len(given))[0].frames[0])
    video, _, number = str(given).rpartition(":")
    if video and number.isdecimal() and not exists(str(given)):
        return read_frame(video, int(number))
    if exists(str(given)) and not _names_a_picture(str(given)):
        raise InputError(f"{given}: is no picture. Name a frame of a video as {given}:0.")
    return read_picture(Path(given))


def _names_a_picture(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURES and not (exists(name) and Path(name).is_dir())
