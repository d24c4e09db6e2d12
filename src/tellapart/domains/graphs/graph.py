"""A graph in memory: the common form of all files of graphs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart import reading
from tellapart.domains.held_out import divide
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

UNKNOWN, _STEPS = -1, 32
"""The label of a node without one."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes with features, and undirected edges between them.

    No node has an edge to itself, and no edge is repeated.
    """

    names: list[str]
    features: Float[Tensor, "n d"]
    """Dense, or sparse with coordinates (COO)."""
    edge_index: Int[Tensor, "2 e"]
    """Every edge in both directions, ordered by its first node and then its second."""
    labels: Int[Tensor, " n"] | None
    """The number of each node's label, `UNKNOWN` for a node without one."""
    classes: list[str]
    """The names of the labels."""
    notes: list[str]
    """Notes for the user: what was left out, and how many nodes have no edge."""
    edge_weight: Float[Tensor, " e"] | None = None
    """The weight of each edge, 1 on average; `None` if all weigh the same."""
    by_degree: bool = False
    """Whether the features are no more than the nodes' degrees."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_features(self) -> int:
        """The number of features of each node."""
        return self.features.shape[1]

    def n_edges(self) -> int:
        """The number of edges, each counted once."""
        return self.edge_index.shape[1] // 2

    def label_names(self) -> list[str]:
        """The name of each node's label; empty for a node without one."""
        assert self.labels is not None
        return ["" if label == UNKNOWN else self.classes[label] for label in self.labels.tolist()]

    def fingerprint(self) -> str:
        """A hash of all content, to detect that data changed between two commands."""
        parts = [self.features.indices(), self.features.values()] if self.features.is_sparse else [self.features]
        parts += [self.edge_index] if self.labels is None else [self.edge_index, self.labels]
        parts += [] if self.edge_weight is None else [self.edge_weight]
        digest = hashlib.sha256(b"".join(part.contiguous().numpy().tobytes() for part in parts))
        digest.update("\0".join([*self.names, *self.classes]).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def hold_out(self, share: float, seed: int) -> tuple[Graph, Int[Tensor, "2 h"]]:
        """The graph without a random share of its edges, and these edges, each in one direction.

        Features that are the nodes' degrees count the remaining edges.

        Raises:
            InputError: fewer than 4 edges: 2 to train on and 2 to hold out.
        """
        is_first = self.edge_index[0] < self.edge_index[1]
        once = self.edge_index[:, is_first]
        if once.shape[1] < 4:
            raise InputError(
                f"data: the graph has {once.shape[1]} edges. At least 4 are needed: 2 to train on and 2 to hold out."
            )
        kept, out = divide(np.arange(once.shape[1]), share, seed)
        edge_index, n = both_directions(once[:, kept], len(self)), len(self)
        weight = None if self.edge_weight is None else self.edge_weight[is_first][kept]
        known = replace(
            self,
            edge_index=edge_index,
            edge_weight=None if weight is None else weights_of(edge_index, once[:, kept], weight, n),
            features=degrees(edge_index, n) if self.by_degree else self.features,
        )
        return known, once[:, out]


def make_graph(
    source: str,
    names: list[str],
    features: Tensor | None,
    pairs: Int[Tensor, "2 p"],
    labels: Sequence[str] | None,
    weights: Float[Tensor, " p"] | None = None,
) -> Graph:
    """A graph of nodes and pairs of nodes, in any direction; an empty label means none.

    Self-loops are left out, and repeated edges count once, with the mean of their weights. Without features, nodes
    have those of their degree.

    Raises:
        InputError: no edge between two different nodes; a weight that is not positive.

    >>> graph = make_graph("x", ["a", "b", "c"], torch.eye(3), torch.tensor([[0, 1, 1], [1, 0, 1]]), None)
    >>> graph.edge_index.tolist(), graph.notes
    ([[0, 1], [1, 0]], ['1 self-loop was left out.', '1 node has no edge: its features are all that is known of it.'])
    """
    n = len(names)
    is_edge = pairs[0] != pairs[1]
    edges = pairs[:, is_edge]
    if not edges.shape[1]:
        what = "only edges of nodes with themselves" if pairs.shape[1] else "no edges"
        raise InputError(f"{source}: {what}. Learning needs neighbours: give edges between different nodes.")
    repeated = edges.shape[1] - len((edges[0] * n + edges[1]).unique())
    edge_index = both_directions(edges, n)
    if weights is not None and not bool((weights > 0).all()):
        least = weights.min().item()
        raise InputError(
            f"{source}: the weight {least:g} of an edge. Weights must be positive: drop edges of weight 0."
        )
    weight = None if weights is None else weights_of(edge_index, edges, weights[is_edge], n)
    weight = None if weight is None or bool((weight == weight[0]).all()) else weight / weight.mean()
    alone = n - len(edge_index[0].unique())
    notes = [
        *_counted(pairs.shape[1] - edges.shape[1], "self-loop was", "self-loops were", "left out"),
        *_counted(repeated, "repeated edge was", "repeated edges were", "left out"),
        *_counted(alone, "node has no edge: its", "nodes have no edge: their", "features are all that is known of it"),
    ]
    if features is None:
        notes.append("Nodes have no features of their own: their degrees serve.")
    for text in notes:
        reading.note(text)
    if weight is not None:
        reading.note("Edges are weighted.")
    reading.read(n, "node")
    reading.read(edge_index.shape[1] // 2, "edge")
    numbers, classes = _numbered(labels)
    made = degrees(edge_index, n) if features is None else features
    return Graph(names, made, edge_index, numbers, classes, notes, weight, features is None)


def degrees(edge_index: Int[Tensor, "2 e"], n: int) -> Float[Tensor, "n 32"]:
    """Features of nodes that have none: how many neighbours they have, one-hot in steps of a factor 2.

    >>> degrees(torch.tensor([[0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]]), 5).argmax(dim=1).tolist()
    [2, 1, 1, 1, 0]
    """
    count = torch.bincount(edge_index[0], minlength=n)
    step = (count + 1).double().log2().floor().long().clamp(max=_STEPS - 1)
    return torch.nn.functional.one_hot(step, _STEPS).float()


def weights_of(
    edge_index: Int[Tensor, "2 e"], pairs: Int[Tensor, "2 p"], weights: Float[Tensor, " p"], n: int
) -> Float[Tensor, " e"]:
    """The mean weight of the pairs, in either direction, that each edge stands for.

    >>> index = both_directions(torch.tensor([[0, 1], [1, 2]]), 3)
    >>> weights_of(index, torch.tensor([[0, 1, 1], [1, 0, 2]]), torch.tensor([1.0, 3.0, 5.0]), 3).tolist()
    [2.0, 2.0, 5.0, 5.0]
    """
    place = edge_index.min(dim=0).values * n + edge_index.max(dim=0).values
    known, of_edge = place.unique(return_inverse=True)
    at = torch.searchsorted(known, pairs.min(dim=0).values * n + pairs.max(dim=0).values)
    total = torch.zeros(len(known), dtype=torch.float64).index_add(0, at, weights.double())
    return (total / torch.bincount(at, minlength=len(known))).float()[of_edge]


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
