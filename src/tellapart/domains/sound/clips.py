"""Clips of sounds, kept as spectrograms: cut at random for training, in the middle for everything else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart import reading
from tellapart.domains.sound.recordings import FLOOR, HOP, MELS, RATE, bands, frames_in, is_silent, log_mel, read_sound
from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Clips:
    """Stretches of sound; several may be of one file. Row i is `frames[first[i] : first[i] + length[i]]`."""

    frames: Float[Tensor, "all_frames mels"]
    """The spectrograms of all files, one after the other, in decibels."""
    first: Int[Tensor, " n"]
    length: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.first)

    def rows(self, index: Int[Tensor, " k"]) -> Clips:
        """The clips at these rows, in this order."""
        return Clips(self.frames, self.first[index], self.length[index])

    def middle(self, n_frames: int) -> Float[Tensor, "n mels n_frames"]:
        """`n_frames` from the middle of each clip; shorter ones are padded with silence on both sides."""
        return self._cut((self.length - n_frames) // 2, n_frames)

    def at_random(self, n_frames: int, noise: float) -> Float[Tensor, "n mels n_frames"]:
        """`n_frames` from a random place of each clip, with white noise of random level.

        Shorter clips are at a random place in silence. The noise is between 0 and 60 dB below the clip's mean power if
        `noise` is 1, between 30 and 60 dB if it is 0.5, and there is none if it is 0.
        """
        room = self.length - n_frames
        low, high = room.clamp(max=0), room.clamp(min=0)
        start = low + (torch.rand(len(self)) * (high - low + 1)).long().clamp(max=high - low)
        cut = self._cut(start, n_frames)
        return cut if noise == 0 else _noisy(cut, noise)

    def _cut(self, start: Int[Tensor, " n"], n_frames: int) -> Float[Tensor, "n mels n_frames"]:
        step = start[:, None] + torch.arange(n_frames)
        inside = (step >= 0) & (step < self.length[:, None])
        place = self.first[:, None] + step.clamp(min=0).minimum(self.length[:, None] - 1)
        return self.frames[place].float().masked_fill(~inside[..., None], FLOOR).transpose(1, 2)


@dataclass(frozen=True, eq=False)
class Read:
    """What was read of some files."""

    clips: Clips
    file_of: Int[Tensor, " n"]
    """The row of each clip's file among those asked for."""
    start: Float[np.ndarray, " n"]
    """Where each clip begins in its file, in seconds."""
    silent: list[int]
    """The rows of files in which nothing can be heard. They have no clips."""


def read_clips(paths: Sequence[Path], places: Sequence[str], every: float = 0.0) -> Read:
    """Read sounds, each distinct file once; a file is one clip, or is cut into one `every` so many seconds.

    Args:
        paths: the files, in the order that the clips are to have.
        places: for messages, the place that names each file; may be empty.
        every: seconds, 0 for a clip that is the whole file. What is left at a file's end is a clip if it is the
            file's only one.

    Raises:
        InputError: broken files where none is to be left out; raised after all are read, it names the first and counts
            the others.
    """
    distinct = {path: row for row, path in reversed(list(enumerate(paths)))}
    broken: dict[int, InputError] = {}

    def read(path: Path) -> Tensor:
        try:
            samples = read_sound(path)
        except InputError as error:
            broken[distinct[path]] = error
            return torch.empty(0, MELS)
        return torch.empty(0, MELS) if is_silent(samples) else log_mel(samples).half()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        spectrograms = dict(zip(distinct, pool.map(read, distinct), strict=True))
    if broken:
        row = min(broken)
        more = f" (and {len(broken) - 1} more broken sounds)" if len(broken) > 1 else ""
        first = InputError(f"{places[row] + ': ' if places[row] else ''}{broken[row]}{more}")
        if len(broken) == len(distinct):
            raise first
        for row, path in enumerate(paths):
            if distinct[path] in broken:
                reading.leave_out("broken sound", places[row] or str(path), first)
    reading.read(sum(distinct[path] not in broken for path in paths), "sound")
    begins = dict(zip(spectrograms, np.cumsum([0, *map(len, spectrograms.values())])[:-1].tolist(), strict=True))
    step = frames_in(every) if every else 0
    parts = [(row, path, cut) for row, path in enumerate(paths) for cut in _cuts(len(spectrograms[path]), step)]
    return Read(
        Clips(
            torch.cat([torch.empty(0, MELS).half(), *spectrograms.values()]),
            torch.tensor([begins[path] + cut.start for _, path, cut in parts], dtype=torch.long),
            torch.tensor([cut.stop - cut.start for *_, cut in parts], dtype=torch.long),
        ),
        file_of=torch.tensor([row for row, *_ in parts], dtype=torch.long),
        start=np.array([cut.start * HOP / RATE for *_, cut in parts]),
        silent=[row for row, path in enumerate(paths) if not len(spectrograms[path]) and distinct[path] not in broken],
    )


def _cuts(n_frames: int, step: int) -> list[slice]:
    if not n_frames:
        return []
    if not step or n_frames < 2 * step:
        return [slice(0, min(n_frames, step or n_frames))]
    return [slice(start, start + step) for start in range(0, n_frames - step + 1, step)]


def _noisy(clips: Float[Tensor, "n mels frames"], noise: float) -> Float[Tensor, "n mels frames"]:
    power = 10 ** (clips / 10)
    below = -60 + 60 * noise * torch.rand(len(clips))
    level = power.mean(dim=(1, 2)) * 10 ** (below / 10)
    # The power of white noise at one frequency has mean and deviation 1; a band takes the mean of several.
    deviation = bands().square().sum(dim=0).sqrt()
    drawn = (1 + deviation[:, None] * torch.randn_like(power)).clamp(min=0)
    return 10 * (power + level[:, None, None] * drawn).log10()
