"""Where counterparts come from: other views of the same thing."""

from tellapart.views.features import drop_features
from tellapart.views.graphs import drop_from_graph
from tellapart.views.images import jitter
from tellapart.views.pictures import Augment
from tellapart.views.reads import Places, Simulated, from_either_strand, neighbours, piece_length, sequenced, simulate

__all__ = [
    "Augment",
    "Places",
    "Simulated",
    "drop_features",
    "drop_from_graph",
    "from_either_strand",
    "jitter",
    "neighbours",
    "piece_length",
    "sequenced",
    "simulate",
]
