"""How alike a query and a key are, each score brought to inner-product form.

Every score here is `s_ij = q̂_i·k̂_j + a_i + b_j`: a product of transformed vectors plus a number per
query and one per key. One engine therefore serves them all. The temperature and the line-up come later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from tellapart.errors import check_choice, requirement

if TYPE_CHECKING:
    from jaxtyping import Float


class InnerProduct(NamedTuple):
    """A score in inner-product form, `s_ij = q̂_i·k̂_j + a_i + b_j`; `None` stands for zeros."""

    queries: Float[Tensor, "n d"]
    keys: Float[Tensor, "m d"]
    query_bias: Float[Tensor, " n"] | None = None
    key_bias: Float[Tensor, " m"] | None = None


Score = Callable[[Tensor, Tensor], InnerProduct]


def unit(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Scale each row to length 1, `v / ‖v‖`, exactly for any length that the dtype can hold.

    A zero row stays zero and its gradient finite. There is no epsilon: rows are first divided by their
    largest entry, so that squares neither underflow nor overflow, in half precision too.

    >>> unit(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    # v/‖v‖ does not change with the length of v, so the divisor may be taken as a constant.
    largest = vectors.detach().abs().amax(dim=-1, keepdim=True)
    scaled = vectors / torch.where(largest > 0, largest, 1)
    squared = scaled.square().sum(dim=-1, keepdim=True)
    return scaled * torch.where(squared > 0, squared, 1).rsqrt()


def cosine(queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"]) -> InnerProduct:
    """Cosine similarity, `s = q·k / (‖q‖‖k‖)`, in [−1, 1]; 0 where a vector is zero.

    >>> form = cosine(torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 0.0], [0.0, 3.0]]))
    >>> (form.queries @ form.keys.T).tolist()
    [[1.0, 0.0]]
    """
    queries_hat = unit(queries)
    return InnerProduct(queries_hat, queries_hat if keys is queries else unit(keys))


def dot(queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"]) -> InnerProduct:
    """Inner product, `s = q·k`.

    >>> dot(torch.ones(1, 2), torch.ones(1, 2)).query_bias is None
    True
    """
    return InnerProduct(queries, keys)


def sqeuclidean(queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"]) -> InnerProduct:
    """Negative squared distance, `s = −‖q − k‖² = 2q·k − ‖q‖² − ‖k‖²`.

    Both sides are first moved by the keys' mean, which changes no distance and keeps the three terms
    from cancelling when the vectors lie far from the origin. What still rounds is relative to the squared
    distance from that mean.

    >>> form = sqeuclidean(torch.tensor([[1.0]]), torch.tensor([[1.0], [3.0]]))
    >>> (form.queries @ form.keys.T + form.query_bias[:, None] + form.key_bias).tolist()
    [[0.0, -4.0]]
    """
    origin = keys.detach().mean(dim=0)
    queries, keys = queries - origin, keys - origin
    return InnerProduct(2 * queries, keys, -queries.square().sum(dim=1), -keys.square().sum(dim=1))


class Bilinear(nn.Module):
    """A learned score, `s = qᵀ W k` with `W (d_query, d_key)`, which also joins spaces of different size.

    Source: van den Oord et al. 2018, eq. 3.

    >>> score = Bilinear(3, 2)
    >>> score(torch.ones(1, 3), torch.ones(4, 2)).queries.shape
    torch.Size([1, 2])
    """

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(query_dim, key_dim))
        nn.init.orthogonal_(self.weight)

    def forward(self, queries: Float[Tensor, "n q"], keys: Float[Tensor, "m k"]) -> InnerProduct:
        """Bring `qᵀ W k` to inner-product form by moving the queries into the keys' space.

        Raises:
            ValueError: queries or keys of another width than the form's.
        """
        for parameter, vectors, width in zip(("queries", "keys"), (queries, keys), self.weight.shape, strict=True):
            if vectors.shape[1] != width:
                raise ValueError(requirement(parameter, f"have {width} columns for this score", vectors.shape[1]))
        return InnerProduct(queries @ self.weight.to(queries.dtype), keys)


_BY_NAME: dict[str, Score] = {"cosine": cosine, "dot": dot, "sqeuclidean": sqeuclidean}


def is_mirrored(score: Score) -> bool:
    """Whether `s(x, y) = s(y, x)` for certain.

    >>> is_mirrored(cosine), is_mirrored(Bilinear(2, 2))
    (True, False)
    """
    return score in _BY_NAME.values()


def resolve(score: str | Score) -> Score:
    """The score function of that name, or `score` itself if it already is one.

    Raises:
        ValueError: no score has that name.

    >>> resolve("dot") is dot
    True
    """
    if not isinstance(score, str):
        if not callable(score):
            raise TypeError(requirement("score", "be a name or a function of queries and keys", type(score).__name__))
        return score
    check_choice("score", score, tuple(_BY_NAME))
    return _BY_NAME[score]
