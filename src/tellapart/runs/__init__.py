"""The run folder of one training, and the embeddings that it keeps for search and report."""

from tellapart.runs.gallery import MAX_SHOWN, Embeddings, Gallery, Hit, check_suffix, thumbnails
from tellapart.runs.run import Run, is_first_process

__all__ = [
    "MAX_SHOWN",
    "Embeddings",
    "Gallery",
    "Hit",
    "Run",
    "check_suffix",
    "is_first_process",
    "thumbnails",
]
