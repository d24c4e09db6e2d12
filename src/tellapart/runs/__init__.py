"""The run folder of one training, what it keeps for search and report, and what can be done with a finished run."""

from tellapart.runs.commands import Commands, Measurable
from tellapart.runs.exported import FOLDERS, LIBRARY, OPTIONS, ExportedRun, open_run
from tellapart.runs.finished import FinishedRun, MakeModel
from tellapart.runs.gallery import MAX_SHOWN, Embeddings, Gallery, Hit, check_suffix, thumbnails, width_of
from tellapart.runs.pictures import Picture, load_pictures, save_pictures
from tellapart.runs.ranks import forget_stray_rank, is_first_process
from tellapart.runs.run import Run
from tellapart.runs.summary import summary
from tellapart.runs.tensor_encoder import Pooled, TensorEncoder, Unit

__all__ = [
    "FOLDERS",
    "LIBRARY",
    "MAX_SHOWN",
    "OPTIONS",
    "Commands",
    "Embeddings",
    "ExportedRun",
    "FinishedRun",
    "Gallery",
    "Hit",
    "MakeModel",
    "Measurable",
    "Picture",
    "Pooled",
    "Run",
    "TensorEncoder",
    "Unit",
    "check_suffix",
    "forget_stray_rank",
    "is_first_process",
    "load_pictures",
    "open_run",
    "save_pictures",
    "summary",
    "thumbnails",
    "width_of",
]
