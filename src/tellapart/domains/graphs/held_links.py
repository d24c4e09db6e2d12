"""Held-out edges in batches: what a training measures on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tellapart.domains.graphs.sample import Part, Sampler
from tellapart.relations import Relation, dense

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor

    from tellapart.domains.graphs.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Links:
    """Some held-out edges, and a part of the graph without them, in which their nodes are.

    Of each edge, the first node is to find the second among those of all, and the other way round.
    """

    part: Part
    ends: Int[Tensor, "2 p"]
    """Both nodes of each edge, by their places in the part."""
    joined: Bool[Tensor, "p p"]
    """Whether a held-out edge joins the first node of one and the second of another."""
    no_question: Bool[Tensor, "p p"]
    """Whether training knows an edge between them, or they are the same node."""

    def to(self, device: torch.device) -> Links:
        """The same on `device`."""
        rest = (tensor.to(device) for tensor in (self.ends, self.joined, self.no_question))
        return Links(self.part.to(device), *rest)

    def positives(self) -> Relation:
        """Which second nodes each first node is to find."""
        return dense(self.joined)

    def exclude(self) -> Relation:
        """Which second nodes are no candidates of a first node."""
        return dense(self.no_question)


class HeldLinks:
    """The held-out edges of a data set, in batches.

    Args:
        data: the data set.
        sampler: draws parts of its known graph; no company is needed.
    """

    at_once = 1024
    """Edges of a batch at most: all nodes of its edges are compared."""

    def __init__(self, data: Dataset, sampler: Sampler) -> None:
        self.linked, self.sampler, self.n = data.linked, sampler, len(data.whole)
        self.known = _codes(data.known.edge_index, self.n)
        self.out = _codes(torch.cat([data.linked, data.linked.flip(0)], dim=1), self.n)

    def __len__(self) -> int:
        return self.linked.shape[1]

    def batch(self, rows: Int[Tensor, " p"]) -> Links:
        """The edges at these rows; neighbours are drawn with torch's random numbers."""
        first, second = self.linked[:, rows]
        nodes, places = torch.cat([first, second]).unique(return_inverse=True)
        codes = first[:, None] * self.n + second
        no_question = torch.isin(codes, self.known) | (first[:, None] == second)
        return Links(self.sampler.part(nodes), places.view(2, -1), torch.isin(codes, self.out), no_question)


def _codes(edges: Int[Tensor, "2 e"], n: int) -> Int[Tensor, " e"]:
    return edges[0] * n + edges[1]
