"""Other positives: labels, several positives, levels, soft targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine import LineUp, Terms, default_positives, evaluate, log_add, named, segment_logsumexp
from tellapart._traced import is_traced
from tellapart.errors import NotFiniteError, check_vectors, requirement
from tellapart.objective import info_nce
from tellapart.relations import Relation, but_not, everyone, paired, same
from tellapart.variants.options import LineUpOptions, Options, check_between, counted_once, decoupled_terms, reduced

if TYPE_CHECKING:
    from typing import Unpack

    from jaxtyping import Float

    from tellapart.relations import Ids


def sup_con(
    embeddings: Float[Tensor, "n d"],
    labels: Ids,
    *,
    temperature: float | Tensor = 0.1,
    multi_positive: str = "out",
    score: str = "cosine",
    reduction: str = "mean",
    engine: str = "auto",
) -> Float[Tensor, "..."]:
    """SupCon: each example's positives are all others of its label; it is no candidate of its own.

    "out": `L_i = −1/|P(i)| Σ_{p∈P(i)} log p_ip`; "in": `L_i = −log (1/|P(i)| Σ_{p∈P(i)} p_ip)`, with
    `p_ip = exp S_ip / Σ_{a≠i} exp S_ia`. Examples that are alone with their label are left out of the mean.

    Args:
        embeddings: `(n, d)`, all views of all examples.
        labels: one id per row.
        temperature: τ > 0, like the rest as for `info_nce`.

    Raises:
        ValueError: every label is different, or as `info_nce`.

    Source: Khosla et al. 2020, eq. 2 ("out") and 3 ("in").

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> sup_con(x, ["cat", "cat", "dog", "dog"], temperature=1.0)  # log(e + 2) − 1
    tensor(0.5514)
    """
    check_vectors("embeddings", embeddings)
    if len(labels) != len(embeddings):
        raise ValueError(
            requirement("labels", f"hold one id for each of the {len(embeddings)} embeddings", len(labels))
        )
    others = paired()
    try:
        return info_nce(
            *(embeddings, embeddings),
            positives=but_not(same(labels), others),
            exclude=others,
            temperature=temperature,
            multi_positive=multi_positive,
            score=score,
            reduction=reduction,
            engine=engine,
        )
    except NotFiniteError as error:
        raise named(error, {"embeddings": embeddings}) from None


def mil_nce(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    symmetric: bool = False,
    reduction: str = "mean",
    engine: str = "auto",
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, "..."]:
    """MIL-NCE: any of a query's positives will do, `L_i = −log (Z⁺_i / (Z⁺_i + Z⁻_i))`, each positive counted once.

    `Z⁺_i = Σ_{p∈P(i)} exp S_ip`, and Z⁻ sums over the others: the floor of the loss is 0. Positives' weights
    do not count.

    Args:
        queries: `(n, d)`, clips of video, say.
        keys: `(m, d)`, the narrations.
        symmetric: also let the other queries of a positive into Z⁻, as in the paper.
        reduction: "mean" over the queries with a positive, "sum" or "none".
        engine: as for `info_nce`, like the other options.

    Raises:
        ValueError: as `info_nce`; a query, or if symmetric a key, with positives as its only candidates.

    Source: Miech et al. 2020, eq. 1.

    >>> x = torch.eye(2)
    >>> mil_nce(x, x.repeat(2, 1), positives=same([0, 1], [0, 1, 0, 1]), temperature=1.0)  # log(1 + 2/2e)
    tensor(0.3133)
    """
    if options.get("positives") is not None:
        options["positives"] = counted_once(default_positives(options["positives"], len(queries), len(keys)))
    terms = decoupled_terms(queries, keys, multi_positive="in", symmetric=symmetric, engine=engine, **options)
    own, others = _sum_of_positives(terms), terms.log_partition
    if terms.reverse is not None:
        positives = options.get("positives") or paired()
        others = log_add(others, _logsumexp_over(positives, terms.reverse.log_partition, len(queries), engine))
    loss = torch.logaddexp(others - own, torch.zeros_like(own))
    return reduced(loss, terms.n_positives > 0, reduction)


def ranking(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    levels: Sequence[Relation],
    temperatures: Sequence[float],
    exclude: Relation | None = None,
    score: str = "cosine",
    reduction: str = "mean",
    engine: str = "auto",
) -> Float[Tensor, "..."]:
    """Ranked positives: every level is told apart from all below it, `L_i = Σ_r −log (Σ_{P_r} / Σ_{P_r ∪ … ∪ N})`.

    The sums are of `exp(s_ij/τ_r)`; the positives of the levels above are no candidates.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        levels: the relation of positives at each level, the closest first; a pair should be in one of them. Weights
            do not count, and a level may be without pairs in a batch.
        temperatures: one τ per level; growing ones forgive more the further down.
        exclude: pairs that are candidates at no level.
        score: as for `info_nce`, like `reduction` and `engine`.

    Raises:
        ValueError: as many temperatures as levels are required; no pair at any level; or as `info_nce`.

    Source: Hoffmann et al. 2022 (RINCE), eq. 4 and 5 ("in").

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> ranking(x, x, levels=[paired()], temperatures=[1.0])  # log(1 + e⁻¹)
    tensor(0.3133)
    """
    if not levels or len(levels) != len(temperatures):
        raise ValueError(requirement("temperatures", f"hold one τ per level, {max(1, len(levels))}", len(temperatures)))
    total = torch.zeros((), device=queries.device)
    active = torch.zeros(len(queries), dtype=torch.bool, device=queries.device)
    above = exclude
    for given, temperature in zip(levels, temperatures, strict=True):
        level = counted_once(default_positives(given, len(queries), len(keys)))
        if not is_traced(queries) and not bool(level.counts(len(queries), len(keys), queries.device)[0].any()):
            continue
        line_up = LineUp.build(queries, keys, positives=level, exclude=above, temperature=temperature, score=score)
        terms = evaluate(line_up, multi_positive="in", engine=engine)
        present = terms.n_positives > 0
        # Sums over the positives where "in" takes their mean.
        loss = terms.per_query() - _log_count(terms)
        total = total + loss.masked_fill(~present, 0)
        active, above = active | present, level if above is None else above | level
    if not is_traced(active) and not bool(active.any()):
        raise ValueError(requirement("levels", "relate at least one query to a key", "no related pair"))
    return reduced(total, active, reduction)


def label_smoothing(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    smoothing: float,
    **options: Unpack[Options],
) -> Float[Tensor, "..."]:
    """InfoNCE with a share ε of the target spread over all m keys: `L_i = −Σ_j ((1−ε) w_ij + ε/m) log p_ij`.

    w are the positives' weights, adding up to 1. Soft targets in general are `info_nce(positives=dense(weights))`.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        smoothing: ε in [0, 1).
        options: as for `info_nce`. Nobody can be excluded.

    Raises:
        ValueError: ε outside [0, 1), `exclude` given, or as `info_nce`.

    Source: Szegedy et al. 2016, §7, on the softmax over candidates.

    >>> label_smoothing(torch.eye(2), torch.eye(2), smoothing=0.5, temperature=1.0)  # log(1 + e⁻¹) + 1/4
    tensor(0.5633)
    """
    check_between("smoothing", smoothing, 0, 1)
    if options.get("exclude") is not None:
        raise ValueError(requirement("exclude", "be None where the target is spread over all keys", "a relation"))
    positives = default_positives(options.get("positives"), len(queries), len(keys))
    options["positives"] = _Smoothed(positives, smoothing, len(queries), len(keys))
    return info_nce(queries, keys, **options)


def _log_count(terms: Terms) -> Float[Tensor, " n"]:
    """How many positives each query has, in logarithms; 0 for a query without."""
    return terms.n_positives.clamp(min=1).to(terms.positive.dtype).log()


def _sum_of_positives(terms: Terms) -> Float[Tensor, " n"]:
    """`log Σ_{p∈P(i)} exp S_ip`, where "in" takes the mean."""
    return terms.positive + _log_count(terms)


def _logsumexp_over(relation: Relation, values: Float[Tensor, " m"], n: int, engine: str) -> Float[Tensor, " n"]:
    """`log Σ_j exp v_j` over each query's related keys; what those with none get has no meaning."""
    pairs = None if is_traced(values) else relation.pairs(n, len(values), values.device)
    if pairs is not None:
        return segment_logsumexp(values[pairs.cols], pairs.rows, n)
    values = values.clamp(min=torch.finfo(values.dtype).min / 4)  # Nobody's −∞ is not finite.
    line_up = LineUp.build(values.new_ones(n, 1), values[:, None], positives=relation, score="dot", temperature=1.0)
    return _sum_of_positives(evaluate(line_up, multi_positive="in", engine=engine))


class _Smoothed(Relation):
    """`(1−ε) w_ij/Σ_j w_ij + ε/m`; a query without a positive stays without."""

    def __init__(self, positives: Relation, smoothing: float, n: int, m: int) -> None:
        self.positives, self.smoothing, self.n, self.m = positives, smoothing, n, m
        self._kept: Tensor | None = None

    def _totals(self, device: torch.device) -> Tensor:
        if self._kept is None or self._kept.device != device:
            ones = torch.ones(self.m, 1, dtype=torch.float64, device=device)
            if is_traced(ones):
                tile = self.positives.tile(slice(0, self.n), slice(0, self.m), device)
                return tile.to(ones.dtype).sum(1)
            self._kept = self.positives.gather_sum(ones, self.n)[:, 0]
        return self._kept

    def at(self, rows: Tensor, cols: Tensor) -> Tensor:
        total = self._totals(rows.device)[rows]
        share = self.positives.at(rows, cols) / total.clamp(min=torch.finfo(total.dtype).tiny)
        return ((1 - self.smoothing) * share + self.smoothing / self.m) * (total > 0)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.positives.check(parameter, n_queries, n_keys)

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        present = self.positives.counts(n, m, device)[0] > 0
        spread = self.smoothing > 0
        return (present * m, present.sum().expand(m)) if spread else self.positives.counts(n, m, device)

    def gather_sum(self, keys: Tensor, n: int) -> Tensor:
        total = self._totals(keys.device).to(keys.dtype)[:, None]
        mean = self.positives.gather_sum(keys, n) / total.clamp(min=torch.finfo(keys.dtype).tiny)
        return ((1 - self.smoothing) * mean + self.smoothing / self.m * everyone().gather_sum(keys, n)) * (total > 0)
