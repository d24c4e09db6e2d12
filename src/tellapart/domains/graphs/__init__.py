"""Graphs: edge lists, GraphML and saved Data, edge-dropped views, graph networks, node and link evaluation."""

from tellapart.domains.graphs.commands import as_graph, commands_for
from tellapart.domains.graphs.dataset import Dataset
from tellapart.domains.graphs.graph import UNKNOWN, Graph
from tellapart.domains.graphs.graph_net import GraphNet
from tellapart.domains.graphs.held_links import HeldLinks, Links
from tellapart.domains.graphs.links import link_auc, unlinked_pairs
from tellapart.domains.graphs.load import load_graph
from tellapart.domains.graphs.measure import Questions, nodes
from tellapart.domains.graphs.network import Network
from tellapart.domains.graphs.options import GraphOptions
from tellapart.domains.graphs.sample import Part, Sampler
from tellapart.domains.graphs.views import drop_features, drop_from_graph

__all__ = [
    "UNKNOWN",
    "Dataset",
    "Graph",
    "GraphNet",
    "GraphOptions",
    "HeldLinks",
    "Links",
    "Network",
    "Part",
    "Questions",
    "Sampler",
    "as_graph",
    "commands_for",
    "drop_features",
    "drop_from_graph",
    "link_auc",
    "load_graph",
    "nodes",
    "unlinked_pairs",
]
