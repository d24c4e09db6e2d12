"""Graph convolutions: nodes to embeddings, by their features and those of their neighbours."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_HEADS = 4
LAYERS = ("gcn", "gat")


class GraphNet(nn.Module):
    """Graph convolutions of torch_geometric, each followed by a PReLU: nodes to embeddings.

    "gcn" averages over a node and its neighbours, weighted by their degrees; "gat", with 4 heads, by attention.
    Features may be dense, or sparse with coordinates (COO).

    Args:
        kind: "gcn" or "gat".
        n_features: features of each node.
        width: the width of all layers but the last.
        dim: length of the embeddings; with "gat" a multiple of 4, like `width`.
        layers: the number of layers, and so how many edges away features count.

    Raises:
        InputError: torch_geometric is missing.

    Source: Kipf & Welling 2017, eq. 2; Veličković et al. 2018, eq. 5.
    """

    def __init__(self, kind: str, n_features: int, width: int, dim: int, layers: int) -> None:
        super().__init__()
        self.kind = kind
        sizes = [n_features, *[width] * (layers - 1), dim]
        self.layers = nn.ModuleList(_layer(kind, *pair) for pair in pairwise(sizes))
        self.activations = nn.ModuleList(nn.PReLU() for _ in self.layers)

    def forward(
        self, features: Float[Tensor, "n d"], edge_index: Int[Tensor, "2 e"], edge_weight: Tensor | None = None
    ) -> Float[Tensor, "n dim"]:
        """Embed all nodes.

        Args:
            features: of the nodes.
            edge_index: every edge in both directions.
            edge_weight: `(e,)`, by which neighbours are weighted; attention makes weights of its own.
        """
        dtype = next(self.parameters()).dtype
        h = features.to(dtype)
        weights = () if edge_weight is None or self.kind != "gcn" else (edge_weight.to(dtype),)
        for layer, activation in zip(self.layers, self.activations, strict=True):
            h = activation(layer(h, edge_index, *weights))
        return h


def _layer(kind: str, n_in: int, n_out: int) -> Any:
    try:
        from torch_geometric.nn import GATConv, GCNConv
    except ImportError as error:
        raise InputError(f"the package {error.name} is missing. pip install 'tellapart[graph]'.") from error
    return GCNConv(n_in, n_out) if kind == "gcn" else GATConv(n_in, n_out // _HEADS, heads=_HEADS)
