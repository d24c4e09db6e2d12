"""The network that a graph goes through: convolutions, and a head for the training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.domains.graphs.graph_net import GraphNet
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart.domains.graphs.graph import Graph


class Network(nn.Module):
    """`g(f(graph))`: in training the projections of nodes, `g(h) = W₂ ELU(W₁ h)`; afterwards their embeddings, `h`.

    Args:
        kind: "gcn" or "gat".
        n_features: of each node.
        width: of the layers but the last.
        dim: of embeddings and projections.
        layers: how many edges away a node sees.
        seed: decides the first weights.

    Raises:
        InputError: torch_geometric is missing.

    Source: Zhu et al. 2020 (GRACE), §4.2, for network and head.
    """

    def __init__(self, kind: str, n_features: int, width: int, dim: int, layers: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = GraphNet(kind, n_features, width, dim, layers)
            self.head = nn.Sequential(nn.Linear(dim, dim), nn.ELU(), nn.Linear(dim, dim))

    def forward(
        self,
        features: Float[Tensor, "n d"],
        edge_index: Int[Tensor, "2 e"],
        edge_weight: Float[Tensor, " e"] | None,
        n_asked: int,
    ) -> Float[Tensor, "k dim"]:
        """Projections of the first `n_asked` nodes."""
        projections: Tensor = self.head(self.encoder(features, edge_index, edge_weight)[:n_asked])
        return projections

    @torch.no_grad()
    def embed(self, graph: Graph) -> Float[Tensor, "n dim"]:
        """Embeddings of all nodes, of length 1."""
        return unit(self.encoder(graph.features, graph.edge_index, graph.edge_weight).float())
