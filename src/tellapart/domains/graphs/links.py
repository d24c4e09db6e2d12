"""Link prediction: whether linked nodes have more similar embeddings than unlinked ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.errors import check_embeddings, requirement
from tellapart.evaluation import roc_auc
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

_CHUNK = 4096
_DECIMALS = 9


def link_auc(embeddings: Float[Tensor, "n d"], linked: Int[Tensor, "2 p"], unlinked: Int[Tensor, "2 q"]) -> float:
    """The area under the ROC curve of the cosine: how often a linked pair scores above an unlinked one.

    `AUC = P(s⁺ > s⁻) + ½ P(s⁺ = s⁻)` over all combinations of a linked and an unlinked pair: 1 is perfect, ½ is
    guessing.

    Args:
        embeddings: `(n, d)`, dense or sparse with coordinates (COO); a zero vector has cosine 0 with all.
        linked: pairs joined by an edge, which should not have been used for the embeddings.
        unlinked: pairs without an edge.

    Raises:
        TypeError: embeddings that are not floating-point.
        ValueError: embeddings that are not finite, or no pairs.

    Source: Hanley & McNeil 1982.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> link_auc(x, torch.tensor([[0], [1]]), torch.tensor([[0, 1], [2, 2]]))
    1.0
    """
    check_embeddings("embeddings", embeddings)
    for parameter, pairs in (("linked", linked), ("unlinked", unlinked)):
        if pairs.ndim != 2 or len(pairs) != 2 or not pairs.shape[1]:
            shape = tuple(pairs.shape)
            raise ValueError(requirement(parameter, "have shape (2, pairs), with a pair", f"shape {shape}"))
    positive, negative = (_cosines(embeddings.detach(), pairs) for pairs in (linked, unlinked))
    return roc_auc(positive.cpu(), negative.cpu())


def unlinked_pairs(edge_index: Int[Tensor, "2 e"], n: int, count: int, seed: int) -> Int[Tensor, "2 q"]:
    """Random pairs of different nodes without an edge; fewer than `count` if almost all pairs have one.

    Args:
        edge_index: all edges, in any direction.
        n: the number of nodes.
        count: the number of pairs to draw.
        seed: of the random numbers.

    Raises:
        ValueError: fewer than 2 nodes.

    >>> unlinked_pairs(torch.tensor([[0, 0], [1, 2]]), 3, 5, seed=0).unique(dim=1).tolist()
    [[1], [2]]
    """
    if n < 2:
        raise ValueError(requirement("n", "be at least 2", n))
    # Not by torch_geometric's `negative_sampling`: Python's global random numbers seed that. It takes an edge that is
    # given in one direction only for none, and counts one that is given twice as two.
    joined = np.unique(np.sort(edge_index.numpy(), axis=0).T @ [n, 1])
    # Twice the wanted number, since some are loops or edges.
    drawn = np.sort(np.random.default_rng(seed).integers(0, n, (2, 2 * count + 100)), axis=0)
    wanted = (drawn[0] != drawn[1]) & ~np.isin(drawn.T @ [n, 1], joined)
    return torch.from_numpy(drawn[:, wanted][:, :count])


def _cosines(embeddings: Float[Tensor, "n d"], pairs: Int[Tensor, "2 p"]) -> Float[Tensor, " p"]:
    # Products of equal vectors may differ in their last bits. Rounding makes them tie.
    chunks = []
    for chunk in pairs.split(_CHUNK, dim=1):
        first, second = (unit(embeddings.index_select(0, ends).to_dense().double()) for ends in chunk)
        chunks.append((first * second).sum(dim=1))
    return torch.cat(chunks).round_(decimals=_DECIMALS)
