"""How good embeddings are, measured on what training never saw."""

from tellapart.evaluation.clusters import Clustering, clustering
from tellapart.evaluation.frozen import frozen
from tellapart.evaluation.neighbours import nearest_neighbours
from tellapart.evaluation.probe import Probe, linear_probe
from tellapart.evaluation.retrieval import Retrieval, both_ways, chance, found_by, retrieval
from tellapart.evaluation.table import Table

__all__ = [
    "Clustering",
    "Probe",
    "Retrieval",
    "Table",
    "both_ways",
    "chance",
    "clustering",
    "found_by",
    "frozen",
    "linear_probe",
    "nearest_neighbours",
    "retrieval",
]
