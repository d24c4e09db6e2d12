"""The command line: its options, its commands, and how a mistake ends."""

from tellapart.cli.entry import main

__all__ = [
    "main",
]
