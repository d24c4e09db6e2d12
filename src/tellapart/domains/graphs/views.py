"""Random views of a graph, without some of its edges and features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import InputError, requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def drop_from_graph(
    features: Float[Tensor, "n d"],
    edge_index: Int[Tensor, "2 e"],
    edge_weight: Float[Tensor, " e"] | None = None,
    *,
    edge_rate: float,
    feature_rate: float,
) -> tuple[Float[Tensor, "n d"], Int[Tensor, "2 k"], Float[Tensor, " k"] | None]:
    """Leave out edges, each in both directions with probability `edge_rate`, and set whole columns of features to 0.

    Args:
        features: one row per node, dense or sparse.
        edge_index: every edge in both directions.
        edge_weight: their weights, the same in both directions.
        edge_rate: the probability that an edge is left out, in [0, 1).
        feature_rate: the probability that a column is set to 0, for all nodes together, in [0, 1].

    Raises:
        InputError: torch_geometric is missing.
        ValueError: a rate out of range.

    Source: Zhu et al. 2020 (GRACE), §3.2.2.
    """
    try:
        from torch_geometric.utils import dropout_edge
    except ImportError as error:
        raise InputError(f"the package {error.name} is missing. pip install 'tellapart[graph]'.") from error
    kept, edges = dropout_edge(edge_index, edge_rate, force_undirected=True)
    return drop_features(features, feature_rate), kept, None if edge_weight is None else edge_weight[edges]


def drop_features(
    features: Float[Tensor, "n d"], rate: float, generator: torch.Generator | None = None
) -> Float[Tensor, "n d"]:
    """Set whole columns to 0, each with probability `rate`; the other columns are unchanged.

    Args:
        features: `(n, d)`, one row per node; dense, or sparse with coordinates (COO).
        rate: the probability that a column is dropped, in [0, 1].
        generator: of the random numbers.

    Raises:
        ValueError: a rate outside [0, 1].

    Source: Zhu et al. 2020 (GRACE), §3.2.2 ("masking node features").

    >>> drop_features(torch.ones(2, 3), 1.0).sum().item(), drop_features(torch.ones(2, 3), 0.0).sum().item()
    (0.0, 6.0)
    """
    if not 0 <= rate <= 1:
        raise ValueError(requirement("rate", "lie in [0, 1]", rate))
    dropped = torch.rand(features.shape[1], generator=generator, device=features.device) < rate
    if not features.is_sparse:
        return features.masked_fill(dropped, 0)
    features = features.coalesce()
    kept = ~dropped[features.indices()[1]]
    return torch.sparse_coo_tensor(
        features.indices()[:, kept],
        features.values()[kept],
        features.shape,
        is_coalesced=True,
        check_invariants=False,
    )
