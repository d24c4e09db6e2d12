"""Read videos, and folders of frames, as arrays of small frames; broken and empty ones are refused.

A point of a frame is (x, y) in pixels, and (0, 0) is the centre of its first pixel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tellapart import reading
from tellapart.domains.pixels.needed import needed
from tellapart.errors import InputError, existing

if TYPE_CHECKING:
    from jaxtyping import UInt8

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
VIDEOS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif", ".ogv"})
LEAST_SIDE = 32
"""Of a frame, in pixels: on less than this there are too few cells to compare."""
MAX_BYTES = 4 * 2**30
"""Of all frames together, which stay in memory."""
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")


class BrokenVideoError(InputError):
    """A file that is no whole video."""


@dataclass(frozen=True, eq=False)
class Video:
    """Frames of one size, in their order."""

    name: str
    frames: UInt8[np.ndarray, "t h w 3"]
    every: int = 1
    """Each so many-th frame was taken."""
    numbers: tuple[int, ...] | None = None
    """Which frame of the file each is; by default 0, 1, 2 and so on."""

    def __len__(self) -> int:
        return len(self.frames)

    def number(self, frame: int) -> int:
        """The number of a frame in the file."""
        return frame if self.numbers is None else self.numbers[frame]

    def part(self, begin: int, end: int) -> Video:
        """Some frames that follow each other."""
        numbers = tuple(self.number(frame) for frame in range(begin, end))
        return replace(self, frames=self.frames[begin:end], numbers=numbers)


def read_videos(source: str, height: int, every: int = 1) -> list[Video]:
    """All videos of a source, with their frames scaled down to a height.

    Args:
        source: a video file; a folder of pictures, which are frames in the order of their names; or a folder of videos
            and of such folders.
        height: frames that are higher are scaled down to this height, with their proportions kept.
        every: take each so many-th frame.

    Raises:
        InputError: something is missing, broken, too small, or too large for memory; the message names the file.

    Broken pictures among frames, and broken videos among several, are left out by the policy of `tellapart.reading`.
    """
    path, room = existing(source), MAX_BYTES
    videos, parts = list[Video](), _parts(path)
    for part in parts:
        try:
            video = _read_video(part, height, every, room)
        except BrokenVideoError as error:
            if len(parts) == 1:
                raise
            reading.leave_out("broken video", str(part), error)
            continue
        room -= video.frames.nbytes
        videos.append(video)
    if not videos:
        raise reading.first_broken() or InputError(f"{source}: holds no video.")
    return videos


def _read_video(part: Path, height: int, every: int, room: int) -> Video:
    """One video, of at most so many bytes."""
    frames, numbers = list[np.ndarray](), list[int]()
    for number, frame in _frames(part, height, every):
        room -= frame.nbytes
        if room < 0:
            remedy = f"Take fewer frames with --every {2 * every}, or a smaller --height"
            raise InputError(f"{part}: more than {MAX_BYTES >> 30} GiB of frames. {remedy}.")
        if frames and frame.shape != frames[0].shape:
            sizes = " and ".join(f"{shape[1]}×{shape[0]}" for shape in (frames[0].shape, frame.shape))
            raise InputError(f"{part}: frames of different sizes ({sizes}). Give frames of one size.")
        frames.append(frame)
        numbers.append(number)
    if len(frames) < 2:
        raise BrokenVideoError(f"{part}: {len(frames)} frame(s) read, and a video needs 2. Give a longer one.")
    return Video(part.name, np.stack(frames), every, tuple(numbers))


def read_picture(path: Path, height: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """A picture file as RGB, scaled down to a height if it is higher.

    Raises:
        InputError: the file is missing, broken, no picture, or too small.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such picture.")
    try:
        with Image.open(path, formats=_FORMATS) as image:
            picture = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        what = f"no picture that can be read ({str(error).rstrip('.')})"
        raise InputError(f"{path}: {what}. Restore the file or leave it out.") from error
    return _small(picture, height, path)


def read_frame(source: str, number: int) -> UInt8[np.ndarray, "h w 3"]:
    """One frame of a video file or of a folder of pictures, at its full size.

    Raises:
        InputError: it is missing or broken, or has no such frame.
    """
    path, count = existing(source), 0
    for found, frame in _frames(path, None, 1):
        if found == number:
            return frame
        count += 1
    raise InputError(f"{source}: there is no frame {number}. It has {count}, counted from 0.")


def shrunk(frame: UInt8[np.ndarray, "h w 3"], height: int) -> UInt8[np.ndarray, "h w 3"]:
    """The frame scaled down to a height if it is higher; each pixel is the mean of what it stands for.

    >>> shrunk(np.zeros((64, 32, 3), np.uint8), 40).shape
    (40, 20, 3)
    """
    rows, cols = frame.shape[:2]
    if rows <= height:
        return frame
    cv2 = needed("cv2")
    made: np.ndarray = cv2.resize(frame, (max(1, round(cols * height / rows)), height), interpolation=cv2.INTER_AREA)
    return made


def fingerprint(videos: list[Video]) -> str:
    """A hash of all frames, to detect that data changed between two commands."""
    digest = hashlib.sha256()
    for video in videos:
        digest.update(f"{video.name} {video.frames.shape} {video.every}\0".encode("utf-8", "surrogatepass"))
        digest.update(video.frames.data)
    return digest.hexdigest()


def _parts(path: Path) -> list[Path]:
    """The videos of a source: files, and folders of frames."""
    if path.is_file():
        return [path]
    inside = sorted(x for x in path.iterdir() if not x.name.startswith("."))
    parts = [x for x in inside if x.suffix.lower() in VIDEOS or (x.is_dir() and _pictures(x))]
    if _pictures(path):
        parts = [path, *parts]
    if not parts:
        raise InputError(f"{path}: no video in it, and no folder of pictures. Give a video or frames as PNG or JPEG.")
    return parts


def _pictures(folder: Path) -> list[Path]:
    return sorted(x for x in folder.iterdir() if x.suffix.lower() in PICTURES and not x.name.startswith("."))


def _frames(path: Path, height: int | None, every: int) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """Frames with their numbers."""
    if path.is_dir():
        for row, picture in enumerate(_pictures(path)[::every]):
            try:
                frame = read_picture(picture, height)
            except InputError as error:
                reading.leave_out("broken frame", str(picture), error)
                continue
            yield row * every, frame
        return
    for number, found in enumerate(_decoded(path)):
        if number % every == 0:
            yield number, _small(found.to_ndarray(format="rgb24"), height, path)


def _decoded(path: Path) -> Iterator[Any]:
    """The frames of a video file. What is broken at its end is an error: a part of a video is no video."""
    av, done = needed("av"), 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BrokenVideoError(
                    f"{path}: there is no picture in it, only {len(container.streams)} other stream(s)."
                )
            for frame in container.decode(video=0):
                yield frame
                done += 1
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        after = f" after {done} frames" if done else ""
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "Give a whole video, or cut it: ffmpeg -i IN -c copy OUT"
        raise BrokenVideoError(f"{path}: not a video that can be read{after} ({reason}). {remedy}.") from error


def _small(frame: UInt8[np.ndarray, "h w 3"], height: int | None, path: Path) -> UInt8[np.ndarray, "h w 3"]:
    frame = frame if height is None else shrunk(frame, height)
    if min(frame.shape[:2]) < LEAST_SIDE:
        found = f"{frame.shape[1]}×{frame.shape[0]}"
        raise InputError(f"{path}: frames of {found} pixels. They must have at least {LEAST_SIDE} on each side.")
    return np.ascontiguousarray(frame)
