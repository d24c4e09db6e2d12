"""Graphs from the files people have, and parts of large ones."""

from tellapart.data.graphs.graph import UNKNOWN, Graph
from tellapart.data.graphs.load import load_graph
from tellapart.data.graphs.sample import Part, Sampler

__all__ = ["UNKNOWN", "Graph", "Part", "Sampler", "load_graph"]
