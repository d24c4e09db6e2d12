"""Views of a graph: some of its edges and some of its features are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tellapart.errors import InputError
from tellapart.views.features import drop_features

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


def drop_from_graph(
    features: Float[Tensor, "n d"],
    edge_index: Int[Tensor, "2 e"],
    *,
    edge_rate: float,
    feature_rate: float,
) -> tuple[Float[Tensor, "n d"], Int[Tensor, "2 k"]]:
    """Leave out edges, each in both directions with probability `edge_rate`, and set whole columns of features to 0.

    Args:
        features: one row per node, dense or sparse.
        edge_index: every edge in both directions.
        edge_rate: the probability that an edge is left out, in [0, 1).
        feature_rate: the probability that a column is set to 0, the same one for all nodes, in [0, 1].

    Raises:
        InputError: torch_geometric is missing.
        ValueError: a rate out of range.

    Source: Zhu et al. 2020 (GRACE), §3.2.2.
    """
    try:
        from torch_geometric.utils import dropout_edge
    except ImportError as error:
        raise InputError(f"the package {error.name} is missing. pip install 'tellapart[graph]'.") from error
    kept, _ = dropout_edge(edge_index, edge_rate, force_undirected=True)
    return drop_features(features, feature_rate), kept
