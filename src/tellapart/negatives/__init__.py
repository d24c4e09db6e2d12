"""Where further negatives come from: keys of past batches."""

from tellapart.negatives.queue import KeyQueue

__all__ = ["KeyQueue"]
