"""Sound files as log-mel spectrograms: read by soundfile, brought to one rate by scipy, transformed by torch."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

SUFFIXES = frozenset({".wav", ".ogg", ".flac", ".mp3", ".opus", ".aif", ".aiff", ".au", ".caf", ".w64"})
RATE, HOP, MELS = 16_000, 320, 40
"""Samples a second, samples between two frames of a spectrogram, and bands of frequency in a frame."""
FLOOR = -80.0
"""Decibels of a band without any sound."""
_WINDOW, _LOWEST = 512, 50.0
_BLOCK = 2**20
_LONGEST = 4 * 3600
_SILENT = 1e-4  # of full scale: less than 3 of the 32,768 levels of 16 bits


def frames_in(seconds: float) -> int:
    """Frames of a spectrogram in a stretch of time, at least 1.

    >>> frames_in(2.0)
    100
    """
    return max(1, round(seconds * RATE / HOP))


def read_sound(path: Path) -> Float[Tensor, " samples"]:
    """A sound file at 16 kHz, its channels averaged; full scale is 1.

    Raises:
        InputError: soundfile is missing; the file is missing, broken, empty or longer than four hours.
    """
    try:
        import soundfile
    except ImportError as error:
        raise InputError(f"the package {error.name} is missing. pip install 'tellapart[audio]'.") from error
    if not path.is_file():
        what = "it is a folder" if path.is_dir() else "there is no such file"
        raise InputError(f"{path}: cannot read the sound, {what}.")
    try:
        with soundfile.SoundFile(path) as file:
            rate, n = file.samplerate, file.frames
            if n > _LONGEST * rate:
                raise InputError(f"{path}: longer than {_LONGEST // 3600} hours. Cut it into parts.")
            # By blocks, so that memory holds one channel of it and not all.
            blocks = [block.mean(axis=1) for block in file.blocks(_BLOCK, dtype="float32", always_2d=True)]
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).rstrip(".")
        raise InputError(f"{path}: not a sound that can be read ({reason}). Convert it to WAV or FLAC.") from error
    samples = np.concatenate([np.empty(0, np.float32), *blocks])
    if not len(samples):
        raise InputError(f"{path}: the sound is empty. Leave it out.")
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: holds samples that are not finite numbers. Restore the file or leave it out.")
    return torch.from_numpy(_resampled(samples, rate))


def is_silent(samples: Float[Tensor, " samples"]) -> bool:
    """Whether nothing can be heard.

    >>> is_silent(torch.zeros(9)), is_silent(torch.ones(9))
    (True, False)
    """
    return samples.abs().max().item() < _SILENT


def log_mel(samples: Float[Tensor, " samples"]) -> Float[Tensor, "frames mels"]:
    """The power of a sound at 16 kHz in 40 bands from 50 Hz to 8 kHz, in decibels; a frame every 20 ms.

    Bands are triangles, equally wide on the mel scale `2595 log₁₀(1 + f / 700)`, each with weights that add up to 1.
    0 dB is a full-scale sine's order of magnitude, and nothing is below −80.

    >>> log_mel(torch.sin(torch.arange(RATE) * 2 * math.pi * 1000 / RATE)).shape
    torch.Size([51, 40])
    """
    window = torch.hann_window(_WINDOW)
    padded = torch.nn.functional.pad(samples, (_WINDOW // 2, _WINDOW // 2))
    spectrum = torch.stft(padded, _WINDOW, HOP, window=window, center=False, return_complex=True)
    power = (spectrum.abs() / (window.sum() / 2)).square()
    return (10 * (power.T @ bands()).clamp(min=1e-12).log10()).clamp(min=FLOOR)


@lru_cache(maxsize=1)
def bands() -> Float[Tensor, "bins mels"]:
    """The weights of each frequency in each band.

    >>> bands().sum(dim=0).allclose(torch.ones(MELS))
    True
    """
    lowest, highest = (2595 * math.log10(1 + f / 700) for f in (_LOWEST, RATE / 2))
    edges = 700 * (10 ** (torch.linspace(lowest, highest, MELS + 2) / 2595) - 1)
    frequencies = torch.linspace(0, RATE / 2, _WINDOW // 2 + 1)[:, None]
    below, centre, above = edges[:-2], edges[1:-1], edges[2:]
    # The narrowest bands are narrower than two bins.
    bin_width = RATE / _WINDOW
    rising = (frequencies - below) / (centre - below).clamp(min=bin_width)
    falling = (above - frequencies) / (above - centre).clamp(min=bin_width)
    weights = torch.minimum(rising, falling).clamp(min=0)
    empty = weights.sum(dim=0) == 0
    nearest = (frequencies - centre).abs().argmin(dim=0)
    weights[nearest[empty], empty.nonzero().flatten()] = 1
    return weights / weights.sum(dim=0)


def _resampled(samples: Float[np.ndarray, " n"], rate: int) -> Float[np.ndarray, " m"]:
    if rate == RATE:
        return samples
    from scipy.signal import resample_poly

    common = math.gcd(rate, RATE)
    found: Float[np.ndarray, " m"] = resample_poly(samples, RATE // common, rate // common).astype(np.float32)
    return found
