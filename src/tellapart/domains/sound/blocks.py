"""Batches that are blocks of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor


@dataclass(frozen=True)
class Block:
    """The rows of a batch: sounds of one stretch of time, and the pictures of this stretch and a margin round it."""

    sounds: Int[Tensor, " n"]
    pictures: Int[Tensor, " m"]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def to(self, device: torch.device) -> Block:
        """The same; what is made of it will be on that device."""
        return Block(self.sounds, self.pictures, device)


@dataclass(frozen=True, eq=False)
class Moments:
    """A batch: spectrograms and pictures, and when both were recorded, in seconds."""

    sounds: Float[Tensor, "n mels frames"]
    sound_times: Float[Tensor, " n"]
    recorders: Int[Tensor, " n"]
    """The number of each sound's recorder."""
    pictures: UInt8[Tensor, "m 3 size size"]
    picture_times: Float[Tensor, " m"]
