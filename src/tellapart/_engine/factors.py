"""What the score matrix is a product of, and half-precision vectors that enter it as they are.

    S_ij = scale_i · key_scale_j · q_i·k_j

The cosine of half vectors has their inverse lengths in both scales: no unit vectors are made, and none are rounded.
Autograd rounds the gradient of a half tensor wherever it passes. So a half tensor is represented by a *carrier*: a
float32 tensor of its shape that takes no memory. Gradients meet at the carrier in float32, and are rounded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import threshold

from tellapart import scores
from tellapart._engine.crossover import is_whole
from tellapart.errors import check_finite, prefers_triton, requirement, values_are_checked

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.scores import Score

HALF = (torch.bfloat16, torch.float16)
# Of shorter or longer vectors of bfloat16, float32 could not hold the squares or the products.
SHORTEST, LONGEST = 2.0**-50, 2.0**60


class Halves(NamedTuple):
    """The numbers of half vectors; their gradients belong to the carriers."""

    queries: Float[Tensor, "n e"]
    keys: Float[Tensor, "c e"]


class Factors(NamedTuple):
    """`S_ij = scale_i · key_scale_j · q_i·k_j`."""

    queries: Float[Tensor, "n e"]
    keys: Float[Tensor, "c e"]
    scale: float | Float[Tensor, ""] | Float[Tensor, " n"]
    """One number or, with `halves`, one for each query."""
    key_scale: Float[Tensor, " c"] | None = None
    halves: Halves | None = None
    """If given, these are the vectors, and `queries` and `keys` their carriers."""
    largest: float | None = None
    """A bound on the absolute logits that is known without a look at values."""

    def given(self) -> Halves:
        """The vectors as kernels multiply them."""
        return Halves(self.queries, self.keys) if self.halves is None else self.halves

    def wide(self) -> Factors:
        """The same in the dtype in which sums are formed: of half vectors, scaled copies."""
        if self.halves is None:
            return self
        return Factors(self.scaled_queries(), self.scaled_keys(), 1.0, largest=self.largest)

    def scaled_queries(self) -> Float[Tensor, "n e"]:
        """Queries scaled such that their products with the scaled keys are the logits."""
        vectors = self.queries if self.halves is None else widened(self.queries, self.halves.queries)
        return vectors * (self.scale[:, None] if isinstance(self.scale, Tensor) and self.scale.ndim else self.scale)

    def scaled_keys(self) -> Float[Tensor, "c e"]:
        """Keys, scaled if they have a scale of their own."""
        vectors = self.keys if self.halves is None else widened(self.keys, self.halves.keys)
        return vectors if self.key_scale is None else vectors * self.key_scale[:, None]


def enter_as_they_are(
    queries: Tensor, keys: Tensor, negatives: Tensor | None, score: Score, engine: str = "auto"
) -> bool:
    """Whether vectors are multiplied in half precision: by Triton's kernels, as cosines or products, all of one dtype.

    >>> enter_as_they_are(torch.ones(1, 1), torch.ones(1, 1), None, scores.cosine)
    False
    """
    return (
        prefers_triton(queries.device)
        and queries.dtype in HALF
        and all(x.dtype == queries.dtype for x in (keys, negatives) if x is not None)
        and (score is scores.cosine or score is scores.dot)
        and (negatives is None or negatives.ndim == 2)
        and not is_whole(len(queries), len(keys) + (0 if negatives is None else len(negatives)), queries.device, engine)
    )


def of_half(
    queries: Float[Tensor, "n d"], keys: Float[Tensor, "c d"], score: Score, temperature: float | Tensor
) -> Factors:
    """The factors of half vectors, with cosines or inner products as scores.

    Raises:
        NotFiniteError: a row that is not finite, where values are checked.
        ValueError: a row so long or short that float32 cannot hold its square, likewise.

    >>> x = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.bfloat16)
    >>> made = of_half(x, x, scores.cosine, 0.5)
    >>> (made.scaled_queries() @ made.scaled_keys().T).tolist()
    [[2.0, 1.600...], [1.600..., 2.0]]
    """
    halves = Halves(queries.detach(), keys.detach())
    of_queries: Tensor = _Carrier.apply(queries)
    of_keys: Tensor = of_queries if keys is queries else _Carrier.apply(keys)
    scale = 1 / (temperature.float() if isinstance(temperature, Tensor) else temperature)
    if score is not scores.cosine:
        return Factors(of_queries, of_keys, scale, halves=halves)
    inverse, of_queries = _inverse_lengths("queries", of_queries, halves.queries)
    of_key, largest = inverse, None if isinstance(scale, Tensor) else scale
    if keys is queries:
        of_keys = of_queries
    else:
        of_key, of_keys = _inverse_lengths("keys", of_keys, halves.keys)
    return Factors(of_queries, of_keys, inverse * scale, of_key, halves, largest)


def _inverse_lengths(parameter: str, carrier: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    check_half(parameter, vectors)
    inverse, carrier = _InverseLengths.apply(carrier, vectors)
    return inverse, carrier


def check_half(parameter: str, vectors: Float[Tensor, "n d"]) -> None:
    """Raise where values are checked and a row is not finite, or too long or short for a cosine in float32.

    Raises:
        NotFiniteError: a row that is not finite.
        ValueError: a row with a square that float32 cannot hold.

    >>> check_half("keys", torch.ones(2, 2, dtype=torch.bfloat16))
    """
    check_finite(parameter, vectors)
    if values_are_checked(vectors) and bool((outside := _of_lengths(vectors).isnan()).any()):
        must = f"have rows of a length between {SHORTEST:.0e} and {LONGEST:.0e}, or convert them to float32"
        raise ValueError(requirement(parameter, must, f"another in row {int(outside.nonzero()[0, 0])}"))


def _of_lengths(vectors: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """`1/‖v‖` of each row, 1 of a zero row, NaN of one beyond float32."""
    length = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float32)
    is_zero = torch.linalg.vector_norm(vectors, float("inf"), dim=1) == 0
    inverse = threshold(length, SHORTEST, torch.nan).reciprocal_()
    return threshold(inverse, 1 / LONGEST, torch.nan).masked_fill_(is_zero, 1)


def widened(carrier: Float[Tensor, "n d"], vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """A float32 copy of half vectors, with the carrier's gradient.

    >>> widened(torch.empty(1, 1), torch.ones(1, 1, dtype=torch.bfloat16))
    tensor([[1.]])
    """
    result: Tensor = _Widened.apply(carrier, vectors)
    return result


class _Carrier(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        ctx.dtype = vectors.dtype
        # What would read its values by mistake finds no number.
        return vectors.new_full((1, 1), float("nan"), dtype=torch.float32).expand(vectors.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.to(ctx.dtype)


class _Widened(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, carrier: Tensor, vectors: Tensor) -> Tensor:  # noqa: ARG004
        return vectors.float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradient, None


class _InverseLengths(torch.autograd.Function):
    """`1/‖v‖` of each row, 1 of a zero row, and the carrier again, to be used from there on.

    What the carrier's gradient is by then, this one adds to in place.
    """

    @staticmethod
    def forward(ctx: Any, carrier: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        inverse = _of_lengths(vectors)
        ctx.save_for_backward(carrier, vectors, inverse)
        ctx.set_materialize_grads(False)
        return inverse, carrier.view_as(carrier)

    @staticmethod
    def backward(ctx: Any, inverse_grad: Tensor | None, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        if inverse_grad is None:
            return gradient, None
        carrier, vectors, inverse = ctx.saved_tensors
        along = (-inverse_grad * inverse**3)[:, None]
        if torch.is_grad_enabled():
            turned = along * widened(carrier, vectors)
            return turned if gradient is None else gradient + turned, None
        return along * vectors if gradient is None else gradient.addcmul_(vectors, along), None
