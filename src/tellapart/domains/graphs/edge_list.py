"""A graph as two tables: its edges, and its nodes with their features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tellapart.domains.features import read_numbers
from tellapart.domains.graphs.graph import Graph, make_graph
from tellapart.domains.graphs.words import hashed_words
from tellapart.domains.tables import SUFFIXES, Table, read_table
from tellapart.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float, Int
    from torch import Tensor

_ENDS = ("source", "target")
_TEXTS = ("node", "label", "text")


def read_edge_list(folder: Path, words: int) -> Graph:
    """The graph of a folder that holds a table `edges` and a table `nodes`, each .csv, .tsv or .parquet.

    `edges` has the columns `source` and `target`, which name nodes. `nodes` has the column `node`, the name. Its
    columns `label` and `text` are optional, and their cells may be empty. All its other columns are numeric features.

    Args:
        folder: the folder of the tables.
        words: the number of buckets for the hashed words of `text`, each a further feature.

    Raises:
        InputError: a table, a column or a cell is missing or broken; a node is listed twice; an edge names an unknown
            node; no edge between two different nodes. The message names the file and line.
    """
    nodes_file, edges_file = _find(folder, "nodes"), _find(folder, "edges")
    nodes = read_table(nodes_file, _TEXTS, required=("node",), blank=("label", "text"))
    edges = read_table(edges_file, _ENDS, required=_ENDS)
    names = nodes.columns["node"]
    number: dict[str, int] = {}
    for name, place in zip(names, nodes.places, strict=True):
        if name in number:
            raise InputError(f"{place}: the node {name!r} is listed twice. Remove one of the two.")
        number[name] = len(number)
    ends = torch.stack([_numbers(edges, end, number, nodes_file) for end in _ENDS])
    return make_graph(str(edges_file), names, _features(nodes_file, nodes, words), ends, nodes.columns.get("label"))


def _find(folder: Path, stem: str) -> Path:
    found = [path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()]
    if len(found) != 1:
        listed = " and ".join(path.name for path in found) or "none"
        suffixes = " or ".join(SUFFIXES[1:])
        must = f"A graph's folder holds one table of nodes and one of edges, nodes.csv and edges.csv, or {suffixes}"
        raise InputError(f"{folder}: which table holds the {stem}? Found: {listed}. {must}.")
    return found[0]


def _numbers(edges: Table, end: str, number: dict[str, int], nodes_file: Path) -> Int[Tensor, " e"]:
    """The numbers of the nodes that a column names."""
    for name, place in zip(edges.columns[end], edges.places, strict=True):
        if name not in number:
            raise InputError(f"{place}: the {end} {name!r} is no node of {nodes_file.name}. Add it, or drop the edge.")
    return torch.tensor([number[name] for name in edges.columns[end]])


def _features(file: Path, nodes: Table, words: int) -> Float[Tensor, "n d"]:
    """The nodes' numeric features, their hashed words, or both."""
    numbers = torch.from_numpy(read_numbers(file, _TEXTS, nodes.places).copy())
    if "text" not in nodes.columns:
        if not numbers.shape[1]:
            raise InputError(f"{file}: neither a column text nor columns of numbers. Nodes need features: add some.")
        return numbers
    bag = hashed_words(nodes.columns["text"], words)
    return torch.cat([bag, numbers.to_sparse()], dim=1).coalesce() if numbers.shape[1] else bag
