"""The run folder of one training, what it keeps for search and report, and what can be done with a finished run."""

from tellapart.runs.commands import Commands, Measurable
from tellapart.runs.finished import FinishedRun, MakeModel
from tellapart.runs.gallery import MAX_SHOWN, Embeddings, Gallery, Hit, check_suffix, thumbnails
from tellapart.runs.pictures import Picture, load_pictures, save_pictures
from tellapart.runs.ranks import forget_stray_rank, is_first_process
from tellapart.runs.run import Run
from tellapart.runs.weights import load_weights, read_weights, write_weights

__all__ = [
    "MAX_SHOWN",
    "Commands",
    "Embeddings",
    "FinishedRun",
    "Gallery",
    "Hit",
    "MakeModel",
    "Measurable",
    "Picture",
    "Run",
    "check_suffix",
    "forget_stray_rank",
    "is_first_process",
    "load_pictures",
    "load_weights",
    "read_weights",
    "save_pictures",
    "thumbnails",
    "write_weights",
]
