"""Evaluation of embeddings on data that training did not see."""

from tellapart.evaluation.bounds import MOST_ASKED, most_known, probe_steps, sampled
from tellapart.evaluation.clusters import Clustering, clustering, density_clustering, grouped
from tellapart.evaluation.frozen import frozen
from tellapart.evaluation.invariance import relative_distance
from tellapart.evaluation.membership import membership
from tellapart.evaluation.neighbours import nearest_neighbours
from tellapart.evaluation.probe import Probe, linear_probe
from tellapart.evaluation.retrieval import Retrieval, both_ways, chance, found_by, retrieval
from tellapart.evaluation.roc import roc_auc
from tellapart.evaluation.splits import Splits, probe_over_splits
from tellapart.evaluation.table import Chart, Table

__all__ = [
    "MOST_ASKED",
    "Chart",
    "Clustering",
    "Probe",
    "Retrieval",
    "Splits",
    "Table",
    "both_ways",
    "chance",
    "clustering",
    "density_clustering",
    "found_by",
    "frozen",
    "grouped",
    "linear_probe",
    "membership",
    "most_known",
    "nearest_neighbours",
    "probe_over_splits",
    "probe_steps",
    "relative_distance",
    "retrieval",
    "roc_auc",
    "sampled",
]
