"""Memories: paired arrays, one side of which asks for the other; encoders of both, and reading by attention."""

from tellapart.domains.memories.commands import commands_for
from tellapart.domains.memories.dataset import Batch, Dataset
from tellapart.domains.memories.network import Memory
from tellapart.domains.memories.options import MemoryOptions, Sides
from tellapart.domains.memories.pairs import Pairs, load_pairs

__all__ = [
    "Batch",
    "Dataset",
    "Memory",
    "MemoryOptions",
    "Pairs",
    "Sides",
    "commands_for",
    "load_pairs",
]
