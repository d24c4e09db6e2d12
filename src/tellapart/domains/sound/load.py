"""Read a folder of sounds and pictures with the tables of their times."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from tellapart import reading
from tellapart.domains.sound.clips import Clips, read_clips
from tellapart.domains.sound.options import SoundOptions
from tellapart.domains.sound.sources import find_stamps
from tellapart.domains.sound.stamps import Stamps
from tellapart.errors import InputError, existing

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.runs import PictureRows

_CHUNK = 256


class PictureFiles(NamedTuple):
    """What a system knows of picture files."""

    read: Callable[[Sequence[Path], Sequence[str], int], tuple[PictureRows, list[int]]]
    """Called as `read(paths, places, size)`: pictures of three channels, and the rows that could be read.

    Places are for messages.
    """
    suffixes: frozenset[str]
    """The ends of their names, with the dot, in small letters."""


@dataclass(frozen=True, eq=False)
class Material:
    """Sounds and pictures, both in order of time."""

    clips: Clips
    heard: Stamps
    """A row for each clip."""
    pictures: PictureRows
    seen: Stamps
    """A row for each picture."""
    notes: list[str]
    """What was left out."""

    def has_labels(self) -> bool:
        """Whether both tables have labels."""
        return self.heard.labels is not None and self.seen.labels is not None

    def fingerprint(self) -> str:
        """A hash of all content, to detect that data changed between two commands."""
        digest = hashlib.sha256(self.clips.frames.numpy().tobytes())
        for chunk in self.pictures.split(_CHUNK):
            digest.update(chunk.numpy().tobytes())
        for stamps in (self.heard, self.seen):
            digest.update(repr([stamps.names, stamps.times.tolist(), stamps.devices, stamps.labels]).encode())
        return digest.hexdigest()


def load_material(source: str, picture_files: PictureFiles, options: SoundOptions) -> Material:
    """Read a folder of sounds and pictures with their times, as `find_stamps` finds them.

    Silent sounds are left out, and the notes say how many.

    Raises:
        InputError: a table, a file, a time or a column is missing or broken; or all sounds are silent.
    """
    folder = existing(source)
    heard, seen = find_stamps(folder, picture_files.suffixes)
    read = read_clips(heard.files, heard.places, options.every)
    if not len(read.clips):
        raise InputError(f"{folder}: all {len(heard)} sounds are silent. Is the recorder's gain right?")
    heard_places = heard.places
    heard = _one_each(heard.rows(read.file_of.numpy()), read.start, options.every)
    order = np.argsort(heard.times, kind="stable")
    pictures, kept = picture_files.read(seen.files, seen.places, options.picture_size)
    reading.pass_over("silent sound", [heard_places[row] for row in read.silent])
    return Material(
        read.clips.rows(torch.from_numpy(order)),
        heard.rows(order),
        pictures,
        seen.rows(kept),
        [f"{len(read.silent)} rows of silent sounds are left out."] if read.silent else [],
    )


def _one_each(heard: Stamps, start: Float[np.ndarray, " n"], every: float) -> Stamps:
    """A clip that was cut out of a recording has the time of its own middle, and a name of its own."""
    if not every:
        return heard
    names = [f"{name}@{second:g}s" for name, second in zip(heard.names, start, strict=True)]
    return replace(heard, names=names, times=heard.times + start + every / 2)
