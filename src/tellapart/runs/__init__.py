"""The run folder of one training, what it keeps for search and report, and what can be done with a finished run."""

from tellapart.runs.commands import Commands, Found, Measurable, Query, nearest_in, vectors_of_queries
from tellapart.runs.exported import FOLDERS, LIBRARY, OPTIONS, ExportedRun, open_run
from tellapart.runs.finished import FinishedRun, MakeModel
from tellapart.runs.formats import check_suffix
from tellapart.runs.gallery import (
    MAX_SHOWN,
    THUMBNAIL,
    Embeddings,
    Gallery,
    Hit,
    InChunks,
    PictureRows,
    thumbnails,
    width_of,
)
from tellapart.runs.groups import Groups, closeness, group_numbers, table_of_groups
from tellapart.runs.output import write_embeddings
from tellapart.runs.parts import Part, Parts, gathered, in_one, in_rows, in_texts, joined
from tellapart.runs.pictures import Picture, load_pictures, save_pictures
from tellapart.runs.ranks import forget_stray_rank, is_first_process
from tellapart.runs.rows import check_rows_ending, write_rows
from tellapart.runs.run import Run
from tellapart.runs.stacked import stacked
from tellapart.runs.summary import summary
from tellapart.runs.tensor_encoder import Pooled, TensorEncoder, Unit
from tellapart.runs.weights import load_weights, read_weights, write_weights

__all__ = [
    "FOLDERS",
    "LIBRARY",
    "MAX_SHOWN",
    "OPTIONS",
    "THUMBNAIL",
    "Commands",
    "Embeddings",
    "ExportedRun",
    "FinishedRun",
    "Found",
    "Gallery",
    "Groups",
    "Hit",
    "InChunks",
    "MakeModel",
    "Measurable",
    "Part",
    "Parts",
    "Picture",
    "PictureRows",
    "Pooled",
    "Query",
    "Run",
    "TensorEncoder",
    "Unit",
    "check_rows_ending",
    "check_suffix",
    "closeness",
    "forget_stray_rank",
    "gathered",
    "group_numbers",
    "in_one",
    "in_rows",
    "in_texts",
    "is_first_process",
    "joined",
    "load_pictures",
    "load_weights",
    "nearest_in",
    "open_run",
    "read_weights",
    "save_pictures",
    "stacked",
    "summary",
    "table_of_groups",
    "thumbnails",
    "vectors_of_queries",
    "width_of",
    "write_embeddings",
    "write_rows",
    "write_weights",
]
