"""Sounds and the times of their recording: reading, spectrograms, an encoder, clocks, blocks of time, evaluation."""

from tellapart.domains.sound.blocks import Block, Moments
from tellapart.domains.sound.clips import Clips, read_clips
from tellapart.domains.sound.clock import Clock
from tellapart.domains.sound.commands import commands_for
from tellapart.domains.sound.dataset import Dataset, Recorders
from tellapart.domains.sound.load import PictureFiles
from tellapart.domains.sound.network import SoundNet
from tellapart.domains.sound.options import SoundOptions
from tellapart.domains.sound.recordings import frames_in, log_mel, read_sound
from tellapart.domains.sound.sources import find_stamps
from tellapart.domains.sound.stamps import Stamps, check_clocks, read_stamps

__all__ = [
    "Block",
    "Clips",
    "Clock",
    "Dataset",
    "Moments",
    "PictureFiles",
    "Recorders",
    "SoundNet",
    "SoundOptions",
    "Stamps",
    "check_clocks",
    "commands_for",
    "find_stamps",
    "frames_in",
    "log_mel",
    "read_clips",
    "read_sound",
    "read_stamps",
]
