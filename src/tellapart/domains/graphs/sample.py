"""Subgraphs for a batch: its nodes, a sample of their neighbours, and all edges between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tellapart.relations import stretches

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.domains.graphs.graph import Graph


@dataclass(frozen=True, eq=False)
class Part:
    """Some nodes of a graph, and all edges between them.

    The first `n_asked` nodes are to be embedded. The others are within reach of their convolutions.
    """

    features: Float[Tensor, "n d"]
    edge_index: Int[Tensor, "2 e"]
    """Every edge in both directions; nodes are counted from 0 within the part."""
    n_asked: int
    edge_weight: Float[Tensor, " e"] | None = None

    def to(self, device: torch.device) -> Part:
        """The same part on `device`."""
        weight = None if self.edge_weight is None else self.edge_weight.to(device)
        return Part(self.features.to(device), self.edge_index.to(device), self.n_asked, weight)

    def edges_among_asked(self) -> Int[Tensor, "2 e"]:
        """The edges between the first `n_asked` nodes."""
        return self.edge_index[:, (self.edge_index < self.n_asked).all(dim=0)]


class Sampler:
    """Draws parts of a graph for a batch of nodes.

    The nodes to be embedded are those of the batch, and up to `company` neighbours of each. The part reaches `steps`
    edges further, by up to `fan_out` neighbours of every node. Neighbours are drawn without replacement. A batch of
    all nodes gives the whole graph.

    Source: Hamilton et al. 2017 (GraphSAGE), algorithm 2, but with all edges between the nodes drawn.

    >>> from tellapart.domains.graphs.graph import make_graph
    >>> path = make_graph("path", list("abcde"), torch.eye(5), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]), None)
    >>> part = Sampler(path, company=1, fan_out=2, steps=1).part(torch.tensor([0]))
    >>> part.n_asked, len(part.features), part.edge_index.tolist()
    (2, 3, [[0, 1, 1, 2], [1, 0, 2, 1]])
    """

    def __init__(self, graph: Graph, company: int, fan_out: int, steps: int) -> None:
        self.graph, self.company, self.fan_out, self.steps = graph, company, fan_out, steps
        self.degree = torch.bincount(graph.edge_index[0], minlength=len(graph))
        self.start = self.degree.cumsum(0) - self.degree

    def part(self, rows: Int[Tensor, " b"]) -> Part:
        """The part for a batch of nodes, drawn with torch's random numbers."""
        if len(rows) == len(self.graph):
            return Part(self.graph.features, self.graph.edge_index, len(rows), self.graph.edge_weight)
        place = torch.full((len(self.graph),), -1)
        embedded = _numbered(place, rows, self._neighbours(rows, self.company))
        nodes = outermost = embedded
        for _ in range(self.steps):
            known = len(nodes)
            nodes = _numbered(place, nodes, self._neighbours(outermost, self.fan_out))
            outermost = nodes[known:]
        index, edges = self._edges_between(nodes, place)
        weight = None if self.graph.edge_weight is None else self.graph.edge_weight[edges]
        return Part(self.graph.features.index_select(0, nodes), index, len(embedded), weight)

    def _neighbours(self, rows: Int[Tensor, " b"], most: int) -> Int[Tensor, " k"]:
        """Up to `most` neighbours of each node, drawn without replacement."""
        owner, within = stretches(self.degree[rows])
        # Sorted by node, and at random among the neighbours of a node.
        order = (owner + torch.rand(len(owner), dtype=torch.float64)).argsort()
        chosen = order[within < most]
        return self.graph.edge_index[1, (self.start[rows][owner] + within)[chosen]]

    def _edges_between(
        self, nodes: Int[Tensor, " k"], place: Int[Tensor, " n"]
    ) -> tuple[Int[Tensor, "2 e"], Int[Tensor, " e"]]:
        """The edges between nodes, by their places in the part and by their numbers in the graph."""
        owner, within = stretches(self.degree[nodes])
        edges = self.start[nodes][owner] + within
        other = place[self.graph.edge_index[1, edges]]
        return torch.stack([owner, other])[:, other >= 0], edges[other >= 0]


def _numbered(place: Int[Tensor, " n"], nodes: Int[Tensor, " k"], more: Int[Tensor, " m"]) -> Int[Tensor, " k_and_new"]:
    """Append the new ones of `more` to `nodes`; `place` receives the place of each."""
    place[nodes] = torch.arange(len(nodes))
    new = more.unique()
    new = new[place[new] < 0]
    place[new] = torch.arange(len(nodes), len(nodes) + len(new))
    return torch.cat([nodes, new])
