"""Relations between similar embeddings, to leave likely false negatives out of the denominator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine import default_positives, full_precision, pair_products
from tellapart.errors import check_choice, check_embeddings, requirement, values_are_checked
from tellapart.relations import Lowered, Relation, but_not, check_size, lowered
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.relations import Ranks

_KINDS = ("absolute", "relative")


def alike(
    queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"] | None, threshold: float | Float[Tensor, " n"]
) -> Relation:
    """Pairs with a cosine of at least a threshold: `R_ij = [cos(q_i, k_j) ≥ θ_i]`, up to rounding; no gradient.

    `exclude=alike(x, x, 0.9) & ~positives` keeps likely positives from counting as negatives. Computed tile by tile;
    it costs one more product of queries and keys.

    Args:
        queries: `(n, d)`, the embeddings, or those of another model.
        keys: `(m, d)`; `None` means the queries.
        threshold: θ, one for all or one per query; with ∞ a query is related to no key.

    Raises:
        TypeError: embeddings that are not floating-point.
        ValueError: entries that are not finite, different widths, a threshold that is NaN or of another shape.

    >>> alike(torch.eye(2), torch.tensor([[1.0, 0.1], [1.0, 1.0]]), 0.9).tile(slice(0, 2), slice(0, 2)).tolist()
    [[True, False], [False, False]]
    """
    rows = _directions("queries", queries)
    cols = rows if keys is None or keys is queries else _directions("keys", keys, rows)
    level = torch.as_tensor(threshold, device=rows.device).detach().to(rows)
    if level.shape not in ((), (len(rows),)):
        must = f"be a number or one per query, ({len(rows)},)"
        raise ValueError(requirement("threshold", must, f"shape {tuple(level.shape)}"))
    if values_are_checked(level) and bool(level.isnan().any()):
        raise ValueError(requirement("threshold", "be a number", math.nan))
    return _Alike(rows, cols, level, level.new_zeros(()))


@full_precision
@torch.no_grad()
def guided(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    positives: Relation | None = None,
    negatives: Float[Tensor, "k d"] | None = None,
    margin: float = 0.0,
    kind: str = "absolute",
) -> Relation:
    """Negatives that a guide finds as close as the positive: `R_ij = [cos(g_i, h_j) ≥ cos(g_i, h_i⁺) − margin]`.

    Use `exclude=guided(g, h)` with embeddings g, h of a trusted model, or with the model's own: the relation is a
    constant, without a gradient. Of several positives the closest counts. Positives are never related, and a query
    without a positive is related to no key. A key that ties with the positive, such as a copy of it, is related.

    | recipe | call |
    |---|---|
    | GISTEmbed | `guided(g, h)` |
    | GISTEmbed, with a margin of 5 % | `guided(g, h, margin=0.05, kind="relative")` |
    | Qwen3-Embedding: 0.1 closer than the positive | `guided(q, k, margin=-0.1)`, with the loss's own q and k |

    Each query has a level of its own, so that a symmetric loss leaves pair (i, j) out both ways if it reaches the
    level of query i. `guided(g, h) | guided(h, g).transposed()` leaves out what reaches the level of either.

    Args:
        queries: `(n, d)`, the guide's embeddings of the queries.
        keys: `(m, d)`, the guide's embeddings of the keys.
        positives: as for `info_nce`. In a group, those among the keys that this process passes set the levels.
        negatives: `(k, d)`, the guide's embeddings of shared negatives: then the relation is one of queries and
            these, for `exclude_negatives`.
        margin: a key is related if its cosine is at most this much below the positive's; if negative, at least so
            much above it.
        kind: "absolute", or "relative": the margin is that share of `|cos(g_i, h_i⁺)|`.

    Raises:
        TypeError: embeddings that are not floating-point.
        ValueError: a margin that is not finite, an unknown kind, no query with a positive, or as `info_nce`.

    Source: Solatorio 2024 (GISTEmbed), with ties; margins as in sentence-transformers' `GISTEmbedLoss`; by the model's
    own embeddings: Zhang et al. 2025 (Qwen3 Embedding), the mask of the training objective.

    >>> guide = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # the second is a copy of the first
    >>> guided(guide, guide).tile(slice(0, 3), slice(0, 3)).int().tolist()
    [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    >>> guided(guide, guide, negatives=torch.tensor([[2.0, 0.0]])).tile(slice(0, 3), slice(0, 1)).int().tolist()
    [[1], [1], [0]]
    """
    if not math.isfinite(margin):
        raise ValueError(requirement("margin", "be finite", margin))
    check_choice("kind", kind, _KINDS)
    rows = _directions("queries", queries)
    cols = rows if keys is queries else _directions("keys", keys, rows)
    positives = default_positives(positives, len(rows), len(cols))
    closest = _closest(rows, cols, positives)
    has_none = closest.isinf()
    if len(rows) and values_are_checked(closest) and bool(has_none.all()):  # a process of a group may have no queries
        raise ValueError(requirement("positives", "relate at least one query to a key", "no related pair"))
    level = closest - margin * (closest.abs() if kind == "relative" else 1)
    level = level.masked_fill(has_none, math.inf)
    if negatives is None:
        return but_not(_Alike(rows, cols, level, level.new_zeros(())), positives)
    return _Alike(rows, _directions("negatives", negatives, rows), level, level.new_zeros(()))


def _closest(queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"], positives: Relation) -> Float[Tensor, " n"]:
    """The highest product of each query with a positive; −∞ where it has none."""
    (n, m), closest = (len(queries), len(keys)), queries.new_full((len(queries),), -math.inf)
    if (pairs := positives.pairs(n, m, queries.device)) is not None:
        return closest.scatter_reduce(0, pairs.rows, pair_products(queries, keys, pairs)[0], "amax")
    for rows, cols, related in positives.tiles(n, m, queries.device):
        products = (queries[rows] @ keys[cols].T).masked_fill(related == 0, -math.inf)
        torch.maximum(closest[rows], products.amax(1), out=closest[rows])
    return closest


def _directions(parameter: str, vectors: Tensor, like: Tensor | None = None) -> Tensor:
    """The vectors at length 1, without gradient; as many columns as `like` has, in its dtype."""
    check_embeddings(parameter, vectors, empty=True)
    vectors = vectors.detach()
    found = unit(vectors if vectors.dtype == torch.float64 else vectors.float(), parameter)
    if like is None:
        return found
    if found.shape[1] != like.shape[1]:
        raise ValueError(requirement(parameter, f"have {like.shape[1]} columns, as the queries", found.shape[1]))
    return found.to(like)


class _Alike(Relation):
    """`R_ij = [cos(q_i, k_j) ≥ a_i + b_j]`: each level is one number, or one per query or per key."""

    def __init__(self, queries: Tensor, keys: Tensor, of_query: Tensor, of_key: Tensor) -> None:
        self.queries, self.keys, self.of_query, self.of_key = queries, keys, of_query, of_key
        self.symmetric = queries is keys and not of_query.ndim and not of_key.ndim

    def __repr__(self) -> str:
        return f"alike({len(self.queries)} × {len(self.keys)} vectors)"

    def lowered(self) -> Lowered:
        return lowered.ProductReaches(self.queries, self.keys, self.of_query, self.of_key)

    @full_precision  # in a half one, keys at some distance below the level would tie with it
    def at(self, rows: Tensor, cols: Tensor) -> Tensor:
        return super().at(rows, cols)

    @full_precision
    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        left, right = self.queries[rows].to(device), self.keys[cols].to(device)
        of_query, of_key = self.of_query, self.of_key
        level = (of_query[rows, None] if of_query.ndim else of_query) + (of_key[cols] if of_key.ndim else of_key)
        return lowered.reaches(left @ right.T, level.to(device))

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        check_size(parameter, "queries", len(self.queries), n_queries)
        check_size(parameter, "keys", len(self.keys), n_keys)

    def transposed(self) -> Relation:
        return self if self.symmetric else _Alike(self.keys, self.queries, self.of_key, self.of_query)

    def towards(self, ranks: Ranks) -> list[Relation]:
        keys = ranks.gather(self.keys)
        levels = ranks.gather(self.of_key) if self.of_key.ndim else [self.of_key] * len(keys)
        return [_Alike(self.queries, x, self.of_query, level) for x, level in zip(keys, levels, strict=True)]
