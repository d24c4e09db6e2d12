"""InfoNCE: softmax cross-entropy of finding each query's positive among its candidates.

    L_i = log Z_i − S_i⁺,    log Z_i = logsumexp_j S_ij,    S_ij = s(q_i, k_j)/τ + key_bias_j

`Terms` holds these two numbers for every query, with counts and largest logits. The functions of this file decide
which keys are positives, and which are candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tellapart import scores
from tellapart._engine import (
    ENGINES,
    REDUCTIONS,
    Given,
    How,
    LineUp,
    Terms,
    evaluate,
    full_precision,
    loss,
    loss_as_one,
    named,
    terms,
)
from tellapart.errors import NotFiniteError, as_temperature, check_choice, check_vectors, requirement
from tellapart.relations import Relation, other_views, paired

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch.distributed import ProcessGroup

    from tellapart.scores import Score
    from tellapart.temperature import LearnedTemperature

__all__ = ["Given", "InfoNCE", "Terms", "info_nce", "info_nce_terms", "nt_xent"]

_MULTI_POSITIVE = ("out", "in")


def info_nce_terms(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    positives: Relation | None = None,
    exclude: Relation | None = None,
    negatives: Float[Tensor, "k d"] | Float[Tensor, "n k d"] | None = None,
    exclude_negatives: Relation | None = None,
    temperature: float | Float[Tensor, ""] | Float[Tensor, " n"] = 0.07,
    score: str | Score = "cosine",
    key_bias: Float[Tensor, " m_and_k"] | None = None,
    margin: float = 0.0,
    multi_positive: str = "out",
    symmetric: bool = False,
    engine: str = "auto",
    group: ProcessGroup | None = None,
) -> Terms:
    """The terms of the InfoNCE loss, one entry per query: the arguments are those of `info_nce`.

    >>> terms = info_nce_terms(torch.eye(3), torch.eye(3), temperature=0.1)
    >>> terms.n_candidates.tolist(), terms.accuracy().item()
    ([3, 3, 3], 1.0)
    """
    _together(group, _check_options, multi_positive, "mean")
    given: dict[str, Any] = {
        "positives": positives,
        "exclude": exclude,
        "negatives": negatives,
        "exclude_negatives": exclude_negatives,
        "temperature": temperature,
        "score": score,
        "key_bias": key_bias,
    }
    how = How(multi_positive, symmetric, engine=engine)
    if group is None:
        found = terms(queries, keys, given | {"margin": margin}, how)
    else:
        line_up = _line_up(group, queries, keys, given | {"margin": margin})
        found = evaluate(line_up, detailed=True, fuse=True, **how.options)
    return replace(found, given=Given.of(queries, keys, given, group))


def info_nce(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    positives: Relation | None = None,
    exclude: Relation | None = None,
    negatives: Float[Tensor, "k d"] | Float[Tensor, "n k d"] | None = None,
    exclude_negatives: Relation | None = None,
    temperature: float | Float[Tensor, ""] | Float[Tensor, " n"] = 0.07,
    score: str | Score = "cosine",
    key_bias: Float[Tensor, " m_and_k"] | None = None,
    margin: float = 0.0,
    multi_positive: str = "out",
    symmetric: bool = False,
    reduction: str = "mean",
    engine: str = "auto",
    group: ProcessGroup | None = None,
) -> Float[Tensor, "..."]:
    """The InfoNCE loss in nats: cross-entropy of finding each query's positive among its candidates.

    `L_i = log Σ_j exp S_ij − S_i⁺`, with `S_ij = (s(q_i, k_j) − margin·[j positive]) / τ + key_bias_j`.
    Half-precision inputs, which may be mixed with float32, are computed, and the loss returned, in float32. Under
    `torch.compile` a whole matrix is part of the graph, and a streamed loss is one operation in it; with
    `reduction="none"`, a relation of your own or a score that is a function, it breaks the graph.

    Args:
        queries: `(n, d)`, one row per query.
        keys: `(m, d)`, the candidates that can be positives.
        positives: the relation of queries to their positives; by default `paired()`, query i with key i.
        exclude: pairs that are not in the denominator, among queries and `keys`.
        negatives: further candidates that are no query's positive, `(k, d)` for all or `(n, k, d)` per query; k may
            be 0, as of a queue that is still empty.
        exclude_negatives: pairs that are not in the denominator, among queries and shared `negatives`; one way only.
        temperature: τ > 0: a number, a tensor of one number (learned) or one per query `(n,)`.
        score: "cosine", "dot", "sqeuclidean", or a function such as `scores.Bilinear`.
        key_bias: added to the logits, one per key and shared negative, `(m + k,)`, in nats.
        margin: subtracted from the positives' scores before τ divides.
        multi_positive: "out" averages the positives' losses, "in" their probabilities.
        symmetric: also let each key find its query, and average the two directions.
        reduction: "mean" over the queries with a positive, "sum", or "none": `(n,)`, `(n + m,)` if symmetric.
        engine: "dense" holds all n×m scores, "tiled" streams them, "auto" takes the faster for the shapes.
        group: processes that share the loss, each with its own queries, keys and relations among these; see
            `tellapart.distributed`. `negatives` are candidates in their own process only.

    Raises:
        TypeError: embeddings that are not floating-point, or float64 beside another dtype.
        ValueError: shapes that do not fit, τ ≤ 0, values that are not finite, no query with a positive,
            a query with a positive and all candidates excluded.

    Sources: van den Oord et al. 2018, eq. 4; several positives: Khosla et al. 2020, eq. 2 ("out") and
    3 ("in"); symmetric: Radford et al. 2021, fig. 3; margin: Yang et al. 2019, eq. 6; `key_bias`:
    Yi et al. 2019, eq. 3.

    >>> keys = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> info_nce(keys, keys, temperature=1.0)  # log(1 + e⁻¹)
    tensor(0.3133)
    """
    _together(group, _check_options, multi_positive, reduction)
    given: dict[str, Any] = {
        "positives": positives,
        "exclude": exclude,
        "negatives": negatives,
        "exclude_negatives": exclude_negatives,
        "temperature": temperature,
        "score": score,
        "key_bias": key_bias,
        "margin": margin,
    }
    how = How(multi_positive, symmetric, reduction, engine)
    if group is not None:
        line_up = _line_up(group, queries, keys, given)
        return evaluate(line_up, fuse=reduction != "none", **how.options).loss(reduction)
    if torch.compiler.is_compiling() and (found := loss_as_one(queries, keys, given, how)) is not None:
        return found
    return loss(queries, keys, given, how)


def nt_xent(
    *views: Float[Tensor, "n d"],
    negatives: Float[Tensor, "k d"] | None = None,
    exclude_negatives: Relation | None = None,
    key_bias: Float[Tensor, " views_n_and_k"] | None = None,
    temperature: float | Float[Tensor, ""] = 0.5,
    score: str | Score = "cosine",
    margin: float = 0.0,
    multi_positive: str = "out",
    reduction: str = "mean",
    engine: str = "auto",
    group: ProcessGroup | None = None,
) -> Float[Tensor, "..."]:
    """NT-Xent: V views of the same n examples; each finds its example's others among all V·n − 1.

    `L_i = log Σ_{j≠i} exp S_ij − mean over the other V − 1 views p of S_ip`, averaged over all V·n. A query's
    positives are candidates, too, so that the floor is log(V − 1); that of `variants.mil_nce` is 0.

    Args:
        views: two or more tensors `(n, d)`; row i of each is a view of example i.
        negatives: further candidates `(k, d)` of all queries, such as the keys of a queue or a bank.
        exclude_negatives: pairs of stacked views and `negatives` that are not in the denominator, such as
            `same(ids.repeat(V), bank_ids)`: then an example's own keys are none of its views' negatives.
        key_bias: added to the logits, one per view and negative, `(V·n + k,)`, in nats; log w for negatives that
            count w times.
        temperature: τ > 0.
        score: as for `info_nce`, like `margin`, `multi_positive`, `reduction`, `engine` and `group`.

    Raises:
        ValueError: fewer than two views, or views of different shapes, or as `info_nce`.

    Source: Chen et al. 2020 (SimCLR), eq. 1; more than two views: Khosla et al. 2020, eq. 2.

    >>> nt_xent(torch.eye(2), torch.eye(2), temperature=1.0)  # log(e + 2) − 1
    tensor(0.5514)
    """
    _together(group, _check_views, views)
    stacked, n = _stacked(views), views[0].shape[0]
    try:
        return info_nce(
            stacked,
            stacked,
            positives=other_views(n) if n else paired(),  # a group's process may have none
            exclude=paired(),
            negatives=negatives,
            exclude_negatives=exclude_negatives,
            key_bias=key_bias,
            temperature=temperature,
            score=score,
            margin=margin,
            multi_positive=multi_positive,
            reduction=reduction,
            engine=engine,
            group=group,
        )
    except NotFiniteError as error:
        raise named(error, {f"views[{number}]": view for number, view in enumerate(views)}) from None


_stacked = full_precision(torch.cat)  # autocast refuses some pairs of dtypes


class InfoNCE(nn.Module):
    """`info_nce` as a module: the options are fixed here, the relations are given with each batch.

    Raises:
        ValueError: an unknown score, reduction or way with several positives, at construction.

    >>> loss = InfoNCE(temperature=0.1, symmetric=True)
    >>> loss(torch.eye(3), torch.eye(3)).item() < 1e-3
    True
    """

    def __init__(
        self,
        *,
        temperature: float | LearnedTemperature = 0.07,
        score: str | Score = "cosine",
        margin: float = 0.0,
        multi_positive: str = "out",
        symmetric: bool = False,
        reduction: str = "mean",
        engine: str = "auto",
    ) -> None:
        super().__init__()
        _check_options(multi_positive, reduction)
        check_choice("engine", engine, ENGINES)
        if not isinstance(temperature, nn.Module):
            as_temperature(temperature, 1)
        self.temperature = temperature
        self.score = scores.resolve(score)
        self.margin, self.multi_positive = margin, multi_positive
        self.symmetric, self.reduction, self.engine = symmetric, reduction, engine

    def forward(
        self,
        queries: Float[Tensor, "n d"],
        keys: Float[Tensor, "m d"],
        *,
        positives: Relation | None = None,
        exclude: Relation | None = None,
        negatives: Float[Tensor, "k d"] | Float[Tensor, "n k d"] | None = None,
        exclude_negatives: Relation | None = None,
        key_bias: Float[Tensor, " m_and_k"] | None = None,
        group: ProcessGroup | None = None,
    ) -> Float[Tensor, "..."]:
        """The loss of one batch; arguments as for `info_nce`."""
        return info_nce(
            queries,
            keys,
            positives=positives,
            exclude=exclude,
            negatives=negatives,
            exclude_negatives=exclude_negatives,
            key_bias=key_bias,
            temperature=self.temperature() if isinstance(self.temperature, nn.Module) else self.temperature,
            score=self.score,
            margin=self.margin,
            multi_positive=self.multi_positive,
            symmetric=self.symmetric,
            reduction=self.reduction,
            engine=self.engine,
            group=group,
        )


def _together(group: ProcessGroup | None, check: Callable[..., None], *arguments: object) -> None:
    """Make a check; in a group, what one process refuses all of them refuse."""
    if group is None:
        check(*arguments)
        return
    from tellapart._engine.ring import Ring  # here, for a torch without distribution

    with Ring(group).together():
        check(*arguments)


def _check_options(multi_positive: str, reduction: str) -> None:
    check_choice("multi_positive", multi_positive, _MULTI_POSITIVE)
    check_choice("reduction", reduction, REDUCTIONS)


def _check_views(views: tuple[Tensor, ...]) -> None:
    if len(views) < 2:
        raise ValueError(requirement("views", "hold at least 2 views of the examples", len(views)))
    for number, view in enumerate(views):
        check_vectors(f"views[{number}]", view, empty=True)
    if any(view.shape != views[0].shape for view in views):
        raise ValueError(requirement("views", "all have the same shape", [tuple(view.shape) for view in views]))


def _line_up(group: ProcessGroup, queries: Tensor, keys: Tensor, given: dict[str, Any]) -> LineUp:
    from tellapart._engine import ring  # here, for a torch without distribution

    return ring.build_together(group, queries, keys, **given)
