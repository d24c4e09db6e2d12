"""Further negatives, from past batches, and relations that leave out likely false negatives."""

from tellapart.negatives.alike import alike, guided
from tellapart.negatives.queue import KeyQueue

__all__ = ["KeyQueue", "alike", "guided"]
