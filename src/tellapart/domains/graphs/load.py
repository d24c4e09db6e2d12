"""Load a graph from a source named on the command line."""

from __future__ import annotations

from tellapart.domains.graphs.edge_list import read_edge_list
from tellapart.domains.graphs.graph import Graph
from tellapart.domains.graphs.graphml import read_graphml
from tellapart.domains.graphs.saved import read_saved
from tellapart.domains.sniff import suffix, unreadable
from tellapart.domains.tables import AS_IT_LIES, Form
from tellapart.errors import existing

_SAVED = (".pt", ".pth")


def load_graph(source: str, words: int, form: Form = AS_IT_LIES) -> Graph:
    """Load a graph.

    Args:
        source: a folder with the tables `nodes` and `edges`, a GraphML file, or a saved `Data` of torch_geometric.
        words: the number of features for the hashed words of nodes' texts.
        form: of tables, what their columns are called, and what separates them.

    Raises:
        InputError: the source is missing or broken; the message names the place.
    """
    path = existing(source)
    if path.is_dir():
        return read_edge_list(path, words, form)
    if suffix(path) == ".graphml":
        return read_graphml(path, words)
    if path.suffix.lower() in _SAVED:
        return read_saved(path)
    kinds = "a folder with nodes.csv and edges.csv, a .graphml file, or a .pt file with a Data of torch_geometric"
    raise unreadable(path, "a graph", f"{source}: no graph that can be read. Give {kinds}.")
