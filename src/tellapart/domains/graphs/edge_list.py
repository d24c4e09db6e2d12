"""A graph as two tables: its edges, and its nodes with their features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tellapart import reading
from tellapart.domains.features import number, read_numbers
from tellapart.domains.graphs.graph import Graph, make_graph
from tellapart.domains.graphs.words import hashed_words
from tellapart.domains.sniff import name_unpacked
from tellapart.domains.tables import AS_IT_LIES, SUFFIXES, Form, Table, read_table
from tellapart.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

_ENDS, _WEIGHT = ("source", "target"), "weight"
_TEXTS = ("node", "label", "text")


def read_edge_list(folder: Path, words: int, form: Form = AS_IT_LIES) -> Graph:
    """The graph of a folder that holds a table `edges` and a table `nodes`, each .csv, .tsv or .parquet.

    `edges` has the columns `source` and `target`, which name nodes, and perhaps `weight`. `nodes` has the column
    `node`, the name. Its columns `label` and `text` are optional, and their cells may be empty. All its other columns
    are numeric features; without any, and without `text`, nodes have those of their degree.

    Args:
        folder: the folder of the tables.
        words: the number of buckets for the hashed words of `text`, each a further feature.
        form: what the columns are called, and what separates them.

    Raises:
        InputError: a table, a column or a cell is missing or broken; a node is listed twice; an edge names an unknown
            node; no edge between two different nodes. The message names the file and line.
    """
    nodes_file, edges_file = _find(folder, "nodes"), _find(folder, "edges")
    nodes = read_table(nodes_file, _TEXTS, required=("node",), blank=("label", "text"), form=form)
    edges = read_table(edges_file, (*_ENDS, _WEIGHT), required=_ENDS, form=form)
    names = nodes.columns["node"]
    number_of: dict[str, int] = {}
    for name, place in zip(names, nodes.places, strict=True):
        if name in number_of:
            raise InputError(f"{place}: the node {name!r} is listed twice. Remove one of the two.")
        number_of[name] = len(number_of)
    rows = _known(edges, number_of, nodes_file)
    ends = torch.tensor([[number_of[edges.columns[end][row]] for row in rows] for end in _ENDS]).reshape(2, -1)
    weights = _weights(edges, rows)
    features = _features(nodes_file, nodes, words, form)
    return make_graph(str(edges_file), names, features, ends, nodes.columns.get("label"), weights)


def _find(folder: Path, stem: str) -> Path:
    found = sorted(path for path in folder.iterdir() if name_unpacked(path) in {stem + end for end in SUFFIXES})
    if len(found) != 1:
        listed = " and ".join(path.name for path in found) or "none"
        suffixes = " or ".join(SUFFIXES[1:])
        must = f"A graph's folder holds one table of nodes and one of edges, nodes.csv and edges.csv, or {suffixes}"
        raise InputError(f"{folder}: which table holds the {stem}? Found: {listed}. {must}.")
    return found[0]


def _known(edges: Table, number_of: dict[str, int], nodes_file: Path) -> list[int]:
    """The rows of edges between nodes that there are; an edge of another one is a broken item."""
    rows = []
    for row, place in enumerate(edges.places):
        unknown = [(end, edges.columns[end][row]) for end in _ENDS if edges.columns[end][row] not in number_of]
        if unknown:
            end, name = unknown[0]
            what = f"the {end} {name!r} is no node of {nodes_file.name}. Add it, or drop the edge"
            reading.leave_out("edge of a node that there is not", place, InputError(f"{place}: {what}."))
        else:
            rows.append(row)
    return rows


def _weights(edges: Table, rows: list[int]) -> Float[Tensor, " e"] | None:
    if _WEIGHT not in edges.columns:
        return None
    return torch.tensor([number(edges.columns[_WEIGHT][row], _WEIGHT, edges.places[row]) for row in rows])


def _features(file: Path, nodes: Table, words: int, form: Form) -> Float[Tensor, "n d"] | None:
    """The nodes' numeric features, their hashed words, or both; `None` if they have neither."""
    numbers = torch.from_numpy(read_numbers(file, _TEXTS, nodes.places, form).copy())
    if "text" not in nodes.columns:
        return numbers if numbers.shape[1] else None
    bag = hashed_words(nodes.columns["text"], words)
    return torch.cat([bag, numbers.to_sparse()], dim=1).coalesce() if numbers.shape[1] else bag
