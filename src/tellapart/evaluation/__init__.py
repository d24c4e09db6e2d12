"""How good embeddings are, measured on what training never saw."""

from tellapart.evaluation.neighbours import nearest_neighbours
from tellapart.evaluation.retrieval import Retrieval, both_ways, chance, retrieval
from tellapart.evaluation.table import Table

__all__ = [
    "Retrieval",
    "Table",
    "both_ways",
    "chance",
    "nearest_neighbours",
    "retrieval",
]
