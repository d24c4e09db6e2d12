"""Where further negatives come from, keys of past batches, and who is too much alike to be one."""

from tellapart.negatives.alike import alike, guided
from tellapart.negatives.queue import KeyQueue

__all__ = ["KeyQueue", "alike", "guided"]
