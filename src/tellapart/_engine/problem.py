"""The problem that every way of computing the loss solves: a matrix of logits, and what counts of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart import scores
from tellapart._engine.arguments import check_per_candidate, checked, checked_negatives
from tellapart._engine.factors import Factors, Halves, enter_as_they_are, of_half
from tellapart._engine.further import check_kept, negatives_as_keys, same_width
from tellapart._engine.precision import full_precision
from tellapart._engine.schedule import ALONE, Comm
from tellapart._traced import is_traced
from tellapart.errors import as_temperature
from tellapart.relations import Relation
from tellapart.scores import InnerProduct

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.scores import Score


TEMPERATURE = 0.07
_PRECISE = (torch.float32, torch.float64)


@dataclass(eq=False, slots=True)
class LineUp:
    """Queries, their candidates, and which of these are positives.

    The logits are one product, `S = scale · queries keysᵀ`: biases, and temperatures of several queries, are
    folded into the two. The first `n_keys` keys can be positives, and are queries in turn in the symmetric loss.
    Those behind them, and those of `mined`, are negatives. A positive's logit is lowered by `penalty`.
    """

    queries: Float[Tensor, "n e"]
    keys: Float[Tensor, "c e"]
    scale: float | Float[Tensor, ""] | Float[Tensor, " n"]
    n_keys: int
    positives: Relation
    exclude: Relation | None
    penalty: Float[Tensor, ""] | Float[Tensor, " n"] | None
    mined: Float[Tensor, "n k"] | None
    """Logits of negatives chosen for each query separately."""
    mirrored: bool
    """Whether `S_ij = S_ji`, and so are the relations: one half of the matrix tells all."""
    comm: Comm = ALONE
    """The ring of processes that share the problem; all else is this process's part of it."""
    exclude_negatives: Relation | None = None
    """If given, the negatives stand among the first `n_keys` keys, where they would be queries of a symmetric loss."""
    key_scale: Float[Tensor, " c"] | None = None
    halves: Halves | None = None
    """With these two, and a scale for each query, see `Factors`."""
    largest: float | None = None
    """A bound on the absolute logits that is known without a look at values."""
    is_traced: bool = False
    """Whether only plain operations may be taken: then the matrix is held as a whole."""

    @classmethod
    @full_precision
    def build(
        cls,
        queries: Tensor,
        keys: Tensor,
        *,
        positives: Relation | None = None,
        exclude: Relation | None = None,
        negatives: Tensor | None = None,
        exclude_negatives: Relation | None = None,
        temperature: float | Tensor = TEMPERATURE,
        score: str | Score = "cosine",
        key_bias: Tensor | None = None,
        margin: float = 0.0,
        engine: str = "auto",
        comm: Comm = ALONE,
    ) -> LineUp:
        """Check the arguments of `info_nce` and state the problem they describe, in float32 at least.

        In a ring of processes they are this process's part, which may be empty. Half vectors may enter as they are
        where the engine streams the scores; for a whole matrix to convert them takes fewer calls.

        Raises:
            TypeError: embeddings that are not floating-point, or float64 beside another dtype; no relation where one
                is due.
            ValueError: shapes that do not fit, τ ≤ 0, values that are not finite.

        >>> line_up = LineUp.build(torch.eye(2), torch.eye(2), temperature=0.5)
        >>> line_up.logits().tolist()
        [[2.0, 0.0], [0.0, 2.0]]
        """
        score = scores.resolve(score)
        is_one = keys is queries
        positives = checked(queries, keys, positives, exclude, margin, score, comm)
        temperature = as_temperature(temperature, queries.shape[0])
        plain = comm is ALONE and not margin and key_bias is None and exclude_negatives is None
        traced = is_traced(queries)
        if plain and not traced and enter_as_they_are(queries, keys, negatives, score, engine):
            return cls._of_halves(queries, keys, positives, exclude, negatives, temperature, score)
        if queries.dtype not in _PRECISE or keys.dtype != queries.dtype:
            queries, keys = queries.float(), keys.float()
            keys = queries if is_one else keys
        if exclude_negatives is not None:
            check_kept(exclude_negatives, comm is ALONE, "with a group")
            keys, positives, exclude = negatives_as_keys(
                queries, keys, negatives, positives, exclude, exclude_negatives
            )
            is_one, negatives = False, None
        scale = 1 / (temperature.to(queries) if isinstance(temperature, Tensor) else temperature)
        if not is_one and not isinstance(score, nn.Module):
            same_width("keys", keys, queries)
        if negatives is not None:
            negatives = checked_negatives(negatives, queries, keys, score)
        shared, mined = (None, negatives) if negatives is not None and negatives.ndim == 3 else (negatives, None)
        product = product_with(queries, keys, shared, score)
        if key_bias is not None:
            check_per_candidate("key_bias", key_bias, len(product.keys))
            key_bias = key_bias.to(queries.dtype)
        return cls(
            *folded(product, scale, key_bias),
            n_keys=keys.shape[0],
            positives=positives,
            exclude=exclude,
            penalty=_penalty(margin, scale, queries),
            mined=None if mined is None else _mined_scores(score, queries, mined) * _column(scale),
            mirrored=is_one and shared is None and key_bias is None and _is_mirrored(score, scale, positives, exclude),
            comm=comm,
            exclude_negatives=exclude_negatives,
            # Of cosines alone: a bias may have any size.
            largest=scale if score is scores.cosine and key_bias is None and not isinstance(scale, Tensor) else None,
            is_traced=traced,
        )

    @classmethod
    def _of_halves(
        cls,
        queries: Tensor,
        keys: Tensor,
        positives: Relation,
        exclude: Relation | None,
        negatives: Tensor | None,
        temperature: float | Tensor,
        score: Score,
    ) -> LineUp:
        """The problem of half vectors that enter products as they are."""
        n_keys = len(same_width("keys", keys, queries))
        if negatives is not None and (negatives := checked_negatives(negatives, queries, keys, score)) is not None:
            keys = torch.cat([keys, negatives])
        mirrored = keys is queries and not (isinstance(temperature, Tensor) and temperature.ndim)
        factors = of_half(queries, keys, score, temperature)
        return cls(
            *factors[:3],
            n_keys=n_keys,
            positives=positives,
            exclude=exclude,
            penalty=None,
            mined=None,
            mirrored=mirrored and are_symmetric(positives, exclude),
            key_scale=factors.key_scale,
            halves=factors.halves,
            largest=factors.largest,
        )

    def factors(self) -> Factors:
        """What the matrix is a product of."""
        return Factors(self.queries, self.keys, self.scale, self.key_scale, self.halves, self.largest)

    def scaled_queries(self) -> Float[Tensor, "n e"]:
        """Queries scaled such that their products with the scaled keys are the logits."""
        return self.factors().scaled_queries()

    def scaled_keys(self) -> Float[Tensor, "c e"]:
        """Keys, scaled if they have a scale of their own."""
        return self.factors().scaled_keys()

    def logits(self) -> Float[Tensor, "n c"]:
        """The whole matrix S, without those of `mined`."""
        if self.halves is None:
            return self.queries * self.scale @ self.keys.T
        return self.scaled_queries() @ self.scaled_keys().T


def _is_mirrored(score: Score, scale: float | Tensor, positives: Relation, exclude: Relation | None) -> bool:
    """Whether the logits of vectors among themselves are symmetric, and so are the relations."""
    one_scale = not (isinstance(scale, Tensor) and scale.ndim)
    return one_scale and scores.is_mirrored(score) and are_symmetric(positives, exclude)


def are_symmetric(positives: Relation, exclude: Relation | None) -> bool:
    """Whether both relations are, for certain.

    >>> from tellapart.relations import paired, before
    >>> are_symmetric(paired(), None), are_symmetric(paired(), before([1, 2], [2, 3]))
    (True, False)
    """
    return positives.symmetric and (exclude is None or exclude.symmetric)


def product_with(queries: Tensor, keys: Tensor, shared: Tensor | None, score: Score) -> InnerProduct:
    """The product of the queries with the keys and, behind them, the shared negatives.

    >>> product_with(torch.eye(2), torch.eye(2), torch.ones(1, 2), scores.dot).keys.shape
    torch.Size([3, 2])
    """
    if shared is None:
        return scores.product_of(score, queries, keys)
    if score is scores.cosine:
        return InnerProduct(scores.unit(queries, "queries"), scores.unit_rows(keys=keys, negatives=shared))
    return scores.product_of(score, queries, torch.cat([keys, shared]))


def folded(
    product: InnerProduct, scale: float | Tensor, key_bias: Tensor | None
) -> tuple[Tensor, Tensor, float | Tensor]:
    """Vectors with the product `scale_i (q_i·k_j + a_i + b_j) + key_bias_j`, up to one scale; addends are columns.

    >>> queries, keys, scale = folded(scores.dot(torch.eye(2), torch.eye(2)), 3.0, torch.ones(2))
    >>> (queries @ keys.T * scale).tolist()
    [[4.0, 1.0], [1.0, 4.0]]
    """
    if product.query_bias is None and product.key_bias is None and key_bias is None:
        if isinstance(scale, Tensor) and scale.ndim:
            return product.queries * scale[:, None], product.keys, 1.0
        return product.queries, product.keys, scale
    scale = _column(scale)
    queries, keys = [product.queries * scale], [product.keys]
    ones = torch.ones_like(product.queries[:, :1]), torch.ones_like(product.keys[:, :1])
    if product.query_bias is not None:
        queries.append(product.query_bias[:, None] * scale)
        keys.append(ones[1])
    if product.key_bias is not None:
        queries.append(ones[0] * scale)
        keys.append(product.key_bias[:, None])
    if key_bias is not None:
        queries.append(ones[0])
        keys.append(key_bias[:, None])
    return torch.cat(queries, dim=1), torch.cat(keys, dim=1), 1.0


def _penalty(margin: float, scale: float | Tensor, like: Tensor) -> Tensor | None:
    if not margin:
        return None
    return margin * scale if isinstance(scale, Tensor) else like.new_tensor(margin * scale)


def _column(scale: float | Tensor) -> float | Tensor:
    """One number, or one number a row."""
    return scale[:, None] if isinstance(scale, Tensor) and scale.ndim else scale


def _mined_scores(score: Score, queries: Tensor, negatives: Tensor) -> Tensor:
    """Scores `(n, k)` of each query with its mined negatives `(n, k, d)`."""
    n, k, _ = negatives.shape
    form = score(queries, negatives.flatten(0, 1))
    result = torch.einsum("nd,nkd->nk", form.queries, form.keys.unflatten(0, (n, k)))
    if form.query_bias is not None:
        result = result + form.query_bias[:, None]
    return result if form.key_bias is None else result + form.key_bias.unflatten(0, (n, k))
