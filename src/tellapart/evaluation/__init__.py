"""How good embeddings are, measured on what training never saw."""

from tellapart.evaluation.clusters import Clustering, clustering, density_clustering
from tellapart.evaluation.frozen import frozen
from tellapart.evaluation.invariance import relative_distance
from tellapart.evaluation.links import link_auc, unlinked_pairs
from tellapart.evaluation.neighbours import nearest_neighbours
from tellapart.evaluation.nodes import Questions, nodes
from tellapart.evaluation.pools import found_first, in_pools
from tellapart.evaluation.probe import Probe, linear_probe
from tellapart.evaluation.retrieval import Retrieval, both_ways, chance, found_by, retrieval
from tellapart.evaluation.splits import Splits, probe_over_splits
from tellapart.evaluation.table import Table
from tellapart.evaluation.tfidf import character_tfidf

__all__ = [
    "Clustering",
    "Probe",
    "Questions",
    "Retrieval",
    "Splits",
    "Table",
    "both_ways",
    "chance",
    "character_tfidf",
    "clustering",
    "density_clustering",
    "found_by",
    "found_first",
    "frozen",
    "in_pools",
    "linear_probe",
    "link_auc",
    "nearest_neighbours",
    "nodes",
    "probe_over_splits",
    "relative_distance",
    "retrieval",
    "unlinked_pairs",
]
