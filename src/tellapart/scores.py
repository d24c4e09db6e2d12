"""How alike a query and a key are, each score brought to inner-product form.

Every score here is `s_ij = q̂_i·k̂_j + a_i + b_j`: a product of transformed vectors plus a number per
query and one per key. One engine therefore serves them all. Temperature and masks are applied later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tellapart._room import room_for
from tellapart._traced import is_traced
from tellapart.errors import at_hand, check_choice, check_finite, requirement

if TYPE_CHECKING:
    from jaxtyping import Float


class InnerProduct(NamedTuple):
    """A score in inner-product form, `s_ij = q̂_i·k̂_j + a_i + b_j`; a bias of `None` means zeros."""

    queries: Float[Tensor, "n d"]
    keys: Float[Tensor, "m d"]
    query_bias: Float[Tensor, " n"] | None = None
    key_bias: Float[Tensor, " m"] | None = None


Score = Callable[[Tensor, Tensor], InnerProduct]


def product_of(score: Score, queries: Tensor, keys: Tensor) -> InnerProduct:
    """What a score makes of queries and keys.

    Raises:
        TypeError: it is no `InnerProduct`, such as a matrix.

    >>> product_of(dot, torch.ones(2, 1), torch.ones(2, 1)).keys.shape
    torch.Size([2, 1])
    """
    product: object = score(queries, keys)
    if not isinstance(product, InnerProduct):
        must = "return an InnerProduct, as `scores.dot` does; a matrix of scores is for `variants.of_scores`"
        raise TypeError(requirement("score", must, type(product).__name__))
    return product


def unit(vectors: Float[Tensor, "n d"], parameter: str = "vectors") -> Float[Tensor, "n d"]:
    """Scale each row to length 1, `v / ‖v‖`, exactly for any length that the dtype can hold.

    A zero row stays zero, with a finite gradient. There is no epsilon. Where squares would underflow or overflow,
    rows are first divided by their largest entry.

    Raises:
        ValueError: a row that is not finite; the message names `parameter`.

    >>> unit(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    if is_traced(vectors):
        return _plain_unit(vectors)
    result: Tensor = _Unit.apply(vectors, parameter)
    return result


def unit_rows(**parts: Float[Tensor, "_ d"]) -> Float[Tensor, "n d"]:
    """The rows of several matrices, one below the other, each scaled to length 1 as by `unit`.

    The rows are copied once: where they are many, that is what takes the time.

    Raises:
        ValueError: a row that is not finite; the message names the part.

    >>> unit_rows(keys=torch.tensor([[2.0, 0.0]]), negatives=torch.tensor([[0.0, 3.0]]))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if any(map(is_traced, parts.values())):
        return torch.cat([_plain_unit(part) for part in parts.values()])
    result: Tensor = _UnitRows.apply(tuple(parts), *parts.values())
    return result


def _plain_unit(vectors: Tensor) -> Tensor:
    """The same by plain operations alone, which may be traced."""
    largest = vectors.detach().abs().amax(-1, keepdim=True)
    is_zero = largest == 0
    scaled = vectors / largest.masked_fill(is_zero, 1)
    # A zero row has length 1, and never 0, of which the gradient would be 0/0.
    length: Tensor = torch.linalg.vector_norm(scaled.masked_fill(is_zero, 1), dim=-1, keepdim=True)
    return scaled / length.masked_fill(is_zero, 1)


# Up to so many numbers lengths are computed in float64, though it is slow: a device waits for calls meanwhile.
_FEW = 2**20
# Below these lengths squares lose digits to underflow, above them they overflow.
_SAFE = {
    dtype: (limits.smallest_normal**0.5 / limits.eps, limits.max**0.5)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    for limits in (torch.finfo(dtype),)
}


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, parameter: str) -> Tensor:
        result, length = _to_unit(vectors, parameter)
        ctx.save_for_backward(result, vectors, length)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _turned(gradient, *ctx.saved_tensors), None


class _UnitRows(torch.autograd.Function):
    """The same for several matrices, in one place."""

    @staticmethod
    def forward(ctx: Any, parameters: tuple[str, ...], *parts: Tensor) -> Tensor:
        ctx.sizes, width = [len(part) for part in parts], parts[0].shape[1]
        result = room_for(sum(ctx.sizes) * width, parts[0]).view(-1, width)
        lengths = [found[1] for found in map(_to_unit, parts, parameters, result.split(ctx.sizes))]
        ctx.save_for_backward(result, *parts, *lengths)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        result, *saved = ctx.saved_tensors
        n, needed = len(ctx.sizes), ctx.needs_input_grad[1:]
        split = gradient.split(ctx.sizes), result.split(ctx.sizes)
        each = zip(needed, *split, saved[:n], saved[n:], strict=True)
        return None, *(_turned(*given) if is_needed else None for is_needed, *given in each)


def _to_unit(vectors: Tensor, parameter: str, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Unit vectors, and the lengths that they had; 1 for zero rows."""
    if not at_hand(vectors) and vectors.dtype == torch.float32 and vectors.numel() <= _FEW and not vectors.is_mps:
        return _to_unit_by_doubles(vectors, parameter, out)
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    if _squares_are_safe(length):
        return torch.div(vectors, length, out=out), length
    check_finite(parameter, vectors)
    # After division by its largest entry, a row has a length of at least 1, unless it is zero.
    smallest = torch.finfo(vectors.dtype).smallest_normal * torch.finfo(vectors.dtype).eps
    largest = torch.linalg.vector_norm(vectors, float("inf"), dim=-1, keepdim=True).clamp_(min=smallest)
    scaled = torch.div(vectors, largest, out=out)
    rest = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True).clamp_(min=1)
    return scaled.div_(rest), torch.where(scaled.any(-1, keepdim=True), largest * rest, 1)


def _to_unit_by_doubles(vectors: Tensor, parameter: str, out: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same in four calls to a device: float64 holds the squares of all float32 numbers."""
    check_finite(parameter, vectors)
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True, dtype=torch.float64)
    length.masked_fill_(length == 0, 1)
    return torch.div(vectors, length, out=torch.empty_like(vectors) if out is None else out), length


def _turned(gradient: Tensor, result: Tensor, vectors: Tensor, length: Tensor) -> Tensor:
    """The gradient with respect to the vectors, from that of the unit vectors."""
    if torch.is_grad_enabled():
        # For a second derivative the length must be a function of the vectors: v·v̂.
        exact = (vectors * result).sum(-1, keepdim=True)
        length = torch.where(exact.detach() > 0, exact, length)
    along = (gradient * result).sum(-1, keepdim=True)
    turned: Tensor = torch.addcmul(gradient, result, along, value=-1)
    return turned / length if torch.is_grad_enabled() else turned.div_(length)


def _squares_are_safe(length: Tensor) -> bool:
    """Whether every row is finite, and its squares neither underflowed nor overflowed."""
    if not at_hand(length):
        return False
    if not length.numel():
        return True
    low, high = length.aminmax()
    least, most = _SAFE[length.dtype]
    return bool(low.item() > least and high.item() < most)


def cosine(queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"]) -> InnerProduct:
    """Cosine similarity, `s = q·k / (‖q‖‖k‖)`, in [−1, 1]; 0 where a vector is zero.

    Raises:
        ValueError: a row that is not finite.

    >>> form = cosine(torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 0.0], [0.0, 3.0]]))
    >>> (form.queries @ form.keys.T).tolist()
    [[1.0, 0.0]]
    """
    queries_hat = unit(queries, "queries")
    return InnerProduct(queries_hat, queries_hat if keys is queries else unit(keys, "keys"))


def dot(queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"]) -> InnerProduct:
    """Inner product, `s = q·k`.

    >>> dot(torch.ones(1, 2), torch.ones(1, 2)).query_bias is None
    True
    """
    return InnerProduct(queries, keys)


def sqeuclidean(
    queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"], origin: Float[Tensor, " d"] | None = None
) -> InnerProduct:
    """Negative squared distance, `s = −‖q − k‖² = 2q·k − ‖q‖² − ‖k‖²`.

    An origin is first subtracted from queries and keys. This changes no distance, and keeps the three terms from
    cancelling when the vectors lie far from 0. The rounding error is relative to the squared distance from the
    origin, which is the mean of the keys by default.

    >>> form = sqeuclidean(torch.tensor([[1.0]]), torch.tensor([[1.0], [3.0]]))
    >>> (form.queries @ form.keys.T + form.query_bias[:, None] + form.key_bias).tolist()
    [[0.0, -4.0]]
    """
    origin = keys.detach().mean(dim=0) if origin is None else origin
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
        """Bring `qᵀ W k` to inner-product form: the queries are mapped into the keys' space.

        Raises:
            ValueError: queries or keys of a width other than that of W.
        """
        for parameter, vectors, width in zip(("queries", "keys"), (queries, keys), self.weight.shape, strict=True):
            if vectors.shape[1] != width:
                raise ValueError(requirement(parameter, f"have {width} columns for this score", vectors.shape[1]))
        return InnerProduct(queries @ self.weight.to(queries.dtype), keys)


_BY_NAME: dict[str, Score] = {"cosine": cosine, "dot": dot, "sqeuclidean": sqeuclidean}


def is_mirrored(score: Score) -> bool:
    """Whether `s(x, y) = s(y, x)` is known to hold.

    >>> is_mirrored(cosine), is_mirrored(Bilinear(2, 2))
    (True, False)
    """
    return score in _BY_NAME.values()


def resolve(score: str | Score) -> Score:
    """The score function of a name; a function is returned as it is.

    Raises:
        TypeError: neither a name nor a function.
        ValueError: an unknown name.

    >>> resolve("dot") is dot
    True
    """
    if isinstance(score, str):
        if score not in _BY_NAME:
            check_choice("score", score, tuple(_BY_NAME))
        return _BY_NAME[score]
    if not callable(score):
        raise TypeError(requirement("score", "be a name or a function of queries and keys", type(score).__name__))
    return score
