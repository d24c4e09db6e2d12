"""Links: do embeddings tell the pairs that an edge joins from those that none does?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.errors import check_embeddings, requirement
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

_CHUNK = 4096
_DECIMALS = 9


def link_auc(embeddings: Float[Tensor, "n d"], linked: Int[Tensor, "2 p"], unlinked: Int[Tensor, "2 q"]) -> float:
    """The area under the ROC curve of the cosine: how often a linked pair is more alike than an unlinked one.

    `AUC = P(s⁺ > s⁻) + ½ P(s⁺ = s⁻)` over all pairs of a linked and an unlinked pair: 1 is perfect, ½ is guessing.

    Args:
        embeddings: `(n, d)`, dense or sparse with coordinates (COO); a zero vector has cosine 0 with everything.
        linked: pairs that an edge joins, preferably not one that the embeddings know of.
        unlinked: pairs that none does.

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
    negative = negative.sort().values
    below, not_above = torch.searchsorted(negative, positive), torch.searchsorted(negative, positive, right=True)
    return ((below + not_above).double().mean() / (2 * len(negative))).item()


def unlinked_pairs(edge_index: Int[Tensor, "2 e"], n: int, count: int, seed: int) -> Int[Tensor, "2 q"]:
    """Pairs of different nodes, drawn at random, that no edge joins; fewer than `count` if there are hardly any.

    Args:
        edge_index: all edges, in any direction.
        n: how many nodes there are.
        count: how many pairs to draw.
        seed: which.

    Raises:
        ValueError: fewer than 2 nodes.

    >>> unlinked_pairs(torch.tensor([[0, 0], [1, 2]]), 3, 5, seed=0).unique(dim=1).tolist()
    [[1], [2]]
    """
    if n < 2:
        raise ValueError(requirement("n", "be at least 2", n))
    joined = np.unique(np.sort(edge_index.numpy(), axis=0).T @ [n, 1])
    # Twice as many as are wanted, since some are loops or edges.
    drawn = np.sort(np.random.default_rng(seed).integers(0, n, (2, 2 * count + 100)), axis=0)
    wanted = (drawn[0] != drawn[1]) & ~np.isin(drawn.T @ [n, 1], joined)
    return torch.from_numpy(drawn[:, wanted][:, :count])


def _cosines(embeddings: Float[Tensor, "n d"], pairs: Int[Tensor, "2 p"]) -> Float[Tensor, " p"]:
    # Products of equal vectors may differ in their last bits. They shall tie all the same.
    chunks = []
    for chunk in pairs.split(_CHUNK, dim=1):
        one, other = (unit(embeddings.index_select(0, side).to_dense().double()) for side in chunk)
        chunks.append((one * other).sum(dim=1))
    return torch.cat(chunks).round_(decimals=_DECIMALS)
