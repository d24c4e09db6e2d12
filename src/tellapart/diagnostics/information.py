"""Estimates of mutual information from a loss's terms or from embeddings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine import LineUp
from tellapart.diagnostics.bands import bands
from tellapart.diagnostics.hardness import log_negatives
from tellapart.errors import requirement
from tellapart.objective import info_nce_terms
from tellapart.relations import Relation, listed, paired

if TYPE_CHECKING:
    from typing import Unpack

    from jaxtyping import Bool, Float

    from tellapart.objective import Terms
    from tellapart.variants.options import LineUpOptions


def mi_bound(terms: Terms) -> Float[Tensor, "..."]:
    """InfoNCE's lower bound on the mutual information of query and key, in nats.

    `I(q; k) ≥ mean_i (log n_candidates_i − L_i)`, the mean of both directions if symmetric. It holds in expectation
    over one true pair and independent negatives. It cannot exceed the log of the number of candidates, however much
    information there is: see `mi_ceiling`. Queries with several positives, or with an excluded positive, do not meet
    these conditions and are left out; NaN if none remain.

    Source: van den Oord et al. 2018, §2.3 and appendix A.1; Poole et al. 2019, eq. 10.

    >>> from tellapart.objective import info_nce_terms
    >>> perfect = info_nce_terms(torch.eye(8), torch.eye(8), temperature=0.01)
    >>> round(mi_bound(perfect).item(), 4)  # log 8
    2.0794
    """
    mean = _mean(terms.n_candidates.log() - terms.per_query(), _valid(terms))
    return mean if terms.reverse is None else (mean + mi_bound(terms.reverse)) / 2


def mi_ceiling(terms: Terms) -> Float[Tensor, "..."]:
    """The largest possible `mi_bound` of these terms, `mean_i log(K_i + 1)` with K negatives, in nats.

    If the bound is close to it, only more negatives can show more information. Over the same queries as the bound;
    NaN if there are none.

    Source: van den Oord et al. 2018, §2.3.

    >>> round(mi_ceiling(info_nce_terms(torch.eye(8), torch.eye(8))).item(), 4)  # log 8
    2.0794
    """
    mean = _mean(terms.n_candidates.log(), _valid(terms))
    return mean if terms.reverse is None else (mean + mi_ceiling(terms.reverse)) / 2


@torch.no_grad()
def nwj(terms: Terms) -> Float[Tensor, ""]:
    """The bound of Nguyen, Wainwright and Jordan, `I ≥ 1 + E_p[S] − E_{p·q}[exp S]`, in nats.

    `mean_i (1 + S_i⁺ − mean_j exp S_ij)`, j over the negatives. It has no ceiling, but a variance that grows like
    exp I. The logits S have to be log density ratios, usually with τ = 1; those that InfoNCE learns are so only up to
    some c(q). The paper's critic is 1 + S. Over the same queries and directions as `mi_bound`.

    Source: Nguyen et al. 2010; Poole et al. 2019, §2.

    >>> round(nwj(info_nce_terms(torch.zeros(4, 1), torch.zeros(4, 1), score="dot", temperature=1.0)).item(), 4)
    0.0
    """
    n_negatives = (terms.n_candidates - 1).to(terms.positive.dtype)
    bound = 1 + terms.positive - (log_negatives(terms) - n_negatives.log()).exp()
    mean = _mean(bound, _valid(terms) & (n_negatives > 0))
    return mean if terms.reverse is None else (mean + nwj(terms.reverse)) / 2


@torch.no_grad()
def alpha_bound(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    *,
    alpha: float,
    engine: str = "auto",
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, ""]:
    """I_α, between NWJ (α = 0: no ceiling, high variance) and InfoNCE (α = 1: log(n − 1), low variance), in nats.

    `1 + mean_i (S_ii − log a_i) − mean_i Z'_i/(n−1) / a'_i`, with `a = α Z/(n−1) + 1 − α`. The bound needs Z and Z' of
    the same size: Z sums over key i and n − 2 negatives, Z' over the n − 1 negatives. So Z leaves out one negative per
    query. The ceiling is `log((n−1)/α)`. As for `nwj`, logits are log density ratios; the paper's q(y) is 1. It takes
    two streamed passes.

    Args:
        queries: `(n, d)`, n ≥ 3, query i with positive key i.
        keys: `(n, d)`.
        alpha: α in [0, 1].
        engine: as for `info_nce`, like `temperature`, `score` and `key_bias`.

    Raises:
        ValueError: α outside [0, 1], fewer than three pairs, not as many keys as queries, other options, or as
            `info_nce`.

    Source: Poole et al. 2019, §2.3 (interpolated bounds).

    >>> x = torch.zeros(4, 1)
    >>> round(alpha_bound(x, x, alpha=0.5, score="dot", temperature=1.0).item(), 4)
    0.0
    """
    if not 0 <= alpha <= 1:
        raise ValueError(requirement("alpha", "lie between 0 and 1", alpha))
    n = _pairs(queries, keys, options)

    def without(excluded: Relation) -> Terms:
        given: LineUpOptions = {**options, "exclude": excluded}
        return info_nce_terms(queries, keys, engine=engine, **given)

    joint, apart = without(listed(torch.arange(1, n + 1) % n)), without(paired())
    mean, mean_apart = (terms.log_partition - math.log(n - 1) for terms in (joint, apart))
    weights = mean.new_tensor([alpha, 1 - alpha]).log()
    log_a, log_a_apart = (torch.logaddexp(weights[0] + m, weights[1]) for m in (mean, mean_apart))
    return 1 + (joint.positive - log_a).mean() - (mean_apart - log_a_apart).exp().mean()


@torch.no_grad()
def smile(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    *,
    clip: float = 5.0,
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, ""]:
    """SMILE, `mean_i S_ii − log mean_{i≠j} exp(clip(S_ij, −c, c))`, in nats: an estimate, not a bound.

    Clipping limits the variance, but biases the estimate in either direction: the second term misses the tail beyond
    c. c → ∞ gives the bound of Donsker and Varadhan. As for `nwj`, logits are log density ratios, here up to one
    common constant. Scores are computed in bands of rows.

    Args:
        queries: `(n, d)`, n ≥ 2, query i with positive key i.
        keys: `(n, d)`.
        clip: c > 0, in nats; the paper's τ.
        options: `temperature`, `score` and `key_bias` as for `info_nce`.

    Raises:
        ValueError: c ≤ 0, fewer than two pairs, not as many keys as queries, other options, or as `info_nce`.

    Source: Song & Ermon 2020.

    >>> round(smile(torch.eye(3), torch.eye(3), score="dot", temperature=1.0).item(), 4)
    1.0
    """
    if not clip > 0:
        raise ValueError(requirement("clip", "be positive", clip))
    n = _pairs(queries, keys, options, at_least=2)
    line_up = LineUp.build(queries, keys, **options)
    positive, sums = [], []
    for rows, logits in bands(line_up.scaled_queries(), line_up.scaled_keys()):
        positive.append(logits[:, rows].diagonal().clone())
        clipped = logits.clip_(-clip, clip)
        clipped[:, rows].diagonal().fill_(-math.inf)
        sums.append(clipped.logsumexp(dim=1))
    return torch.cat(positive).mean() - (torch.cat(sums).logsumexp(0) - math.log(n * (n - 1)))


def _valid(terms: Terms) -> Bool[Tensor, " n"]:
    """Queries with exactly one positive, which is among their candidates."""
    return (terms.n_positives == 1) & (terms.n_positive_candidates == 1)


def _mean(values: Float[Tensor, "... n"], valid: Bool[Tensor, "... n"]) -> Float[Tensor, "..."]:
    return values.masked_fill(~valid, 0).sum(-1) / valid.sum(-1)


def _pairs(queries: Tensor, keys: Tensor, options: LineUpOptions, at_least: int = 3) -> int:
    """The number of pairs (query i, key i), after a check that the options allow nothing else."""
    if refused := [name for name in ("positives", "exclude", "negatives") if options.get(name) is not None]:
        raise ValueError(requirement(refused[0], "be None, since query i has the positive key i", "another"))
    if len(keys) != len(queries) or len(queries) < at_least:
        must = f"hold one positive for each of at least {at_least} queries"
        raise ValueError(requirement("keys", must, f"{len(keys)} keys for {len(queries)} queries"))
    return len(queries)
