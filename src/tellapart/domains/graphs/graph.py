"""A graph in memory: the one form that every file of a graph is brought to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.held_out import divide
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

UNKNOWN = -1
"""The label of a node without one."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes with features, and the edges between them, which have no direction.

    No node has an edge to itself, and no edge stands there twice.
    """

    names: list[str]
    features: Float[Tensor, "n d"]
    """Dense, or sparse with coordinates (COO)."""
    edge_index: Int[Tensor, "2 e"]
    """Every edge in both directions, ordered by its first node and then its second."""
    labels: Int[Tensor, " n"] | None
    """A number for each node's label, `UNKNOWN` for a node without."""
    classes: list[str]
    """What the labels are called."""
    notes: list[str]
    """What a person should know of it: what was left out, and who is alone."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_features(self) -> int:
        """How many features each node has."""
        return self.features.shape[1]

    def n_edges(self) -> int:
        """How many edges there are, each counted once."""
        return self.edge_index.shape[1] // 2

    def label_names(self) -> list[str]:
        """What each node's label is called; empty for a node without."""
        assert self.labels is not None
        return ["" if label == UNKNOWN else self.classes[label] for label in self.labels.tolist()]

    def fingerprint(self) -> str:
        """A hash of all that is in here, to tell whether data changed between two commands."""
        parts = [self.features.indices(), self.features.values()] if self.features.is_sparse else [self.features]
        parts += [self.edge_index] if self.labels is None else [self.edge_index, self.labels]
        digest = hashlib.sha256(b"".join(part.contiguous().numpy().tobytes() for part in parts))
        digest.update("\0".join([*self.names, *self.classes]).encode())
        return digest.hexdigest()

    def hold_out(self, share: float, seed: int) -> tuple[Graph, Int[Tensor, "2 h"]]:
        """The graph without a share of its edges, drawn at random, and these edges, each in one direction.

        Raises:
            InputError: fewer than 4 edges: 2 to train on and 2 to hold out.
        """
        once = self.edge_index[:, self.edge_index[0] < self.edge_index[1]]
        if once.shape[1] < 4:
            raise InputError(
                f"data: the graph has {once.shape[1]} edges. At least 4 are needed: 2 to train on and 2 to hold out."
            )
        kept, out = divide(np.arange(once.shape[1]), share, seed)
        return replace(self, edge_index=both_directions(once[:, kept], len(self))), once[:, out]


def make_graph(
    source: str, names: list[str], features: Tensor, pairs: Int[Tensor, "2 p"], labels: Sequence[str] | None
) -> Graph:
    """A graph of nodes and of pairs of them, each in any direction; an empty label is none.

    Self-loops are left out, and edges that stand there twice count once.

    Raises:
        InputError: no edge between two different nodes.

    >>> graph = make_graph("x", ["a", "b", "c"], torch.eye(3), torch.tensor([[0, 1, 1], [1, 0, 1]]), None)
    >>> graph.edge_index.tolist(), graph.notes
    ([[0, 1], [1, 0]], ['1 self-loop was left out.', '1 node has no edge: its features are all that is known of it.'])
    """
    n = len(names)
    edges = pairs[:, pairs[0] != pairs[1]]
    if not edges.shape[1]:
        what = "only edges of nodes with themselves" if pairs.shape[1] else "no edges"
        raise InputError(f"{source}: {what}. Neighbours are what is learned from: give edges between different nodes.")
    repeated = edges.shape[1] - len((edges[0] * n + edges[1]).unique())
    edge_index = both_directions(edges, n)
    alone = n - len(edge_index[0].unique())
    notes = [
        *_counted(pairs.shape[1] - edges.shape[1], "self-loop was", "self-loops were", "left out"),
        *_counted(repeated, "edge stands there again and was", "edges stand there again and were", "left out"),
        *_counted(alone, "node has no edge: its", "nodes have no edge: their", "features are all that is known of it"),
    ]
    numbers, classes = _numbered(labels)
    return Graph(names, features, edge_index, numbers, classes, notes)


def both_directions(edges: Int[Tensor, "2 p"], n: int) -> Int[Tensor, "2 e"]:
    """Each edge once in each direction, ordered by its first node and then its second.

    >>> both_directions(torch.tensor([[2, 0], [0, 2]]), 3).tolist()
    [[0, 2], [2, 0]]
    """
    places = torch.cat([edges[0] * n + edges[1], edges[1] * n + edges[0]]).unique()
    return torch.stack([places // n, places % n])


def _counted(count: int, one: str, many: str, rest: str) -> list[str]:
    return [f"{count} {one if count == 1 else many} {rest}."] if count else []


def _numbered(labels: Sequence[str] | None) -> tuple[Tensor | None, list[str]]:
    """Labels as numbers, in the order of their names."""
    if labels is None or not any(labels):
        return None, []
    classes = sorted({label for label in labels if label})
    number = {label: i for i, label in enumerate(classes)} | {"": UNKNOWN}
    return torch.tensor([number[label] for label in labels]), classes
