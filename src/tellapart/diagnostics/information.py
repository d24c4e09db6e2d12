"""Mutual information, as far as a line-up can see it."""

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


def mi_bound(terms: Terms) -> Float[Tensor, ""]:
    """InfoNCE's lower bound on the mutual information of query and key, in nats.

    `I(q; k) ≥ mean_i (log n_candidates_i − L_i)`, the mean of both directions if symmetric. It holds in
    expectation over line-ups of one true pair and independent negatives, and it cannot exceed the log of
    the line-up's size, however much information there is: see `mi_ceiling`. Queries with several positives,
    or whose positive is excluded, are left out, for theirs is no such line-up; NaN if there are no others.

    Source: van den Oord et al. 2018, §2.3 and appendix A.1; Poole et al. 2019, eq. 10.

    >>> from tellapart.objective import info_nce_terms
    >>> perfect = info_nce_terms(torch.eye(8), torch.eye(8), temperature=0.01)
    >>> round(mi_bound(perfect).item(), 4)  # log 8
    2.0794
    """
    mean = _mean(terms.n_candidates.log() - terms.per_query(), _asked(terms))
    return mean if terms.reverse is None else (mean + mi_bound(terms.reverse)) / 2


def mi_ceiling(terms: Terms) -> Float[Tensor, ""]:
    """The most that `mi_bound` can say of these line-ups, `mean_i log(K_i + 1)` with K negatives, in nats.

    A bound close to it tells that there is at least that much information, and that only a larger line-up could
    tell more. Over the same queries as the bound; NaN if there are none.

    Source: van den Oord et al. 2018, §2.3.

    >>> round(mi_ceiling(info_nce_terms(torch.eye(8), torch.eye(8))).item(), 4)  # log 8
    2.0794
    """
    mean = _mean(terms.n_candidates.log(), _asked(terms))
    return mean if terms.reverse is None else (mean + mi_ceiling(terms.reverse)) / 2


@torch.no_grad()
def nwj(terms: Terms) -> Float[Tensor, ""]:
    """The bound of Nguyen, Wainwright and Jordan, `I ≥ 1 + E_p[S] − E_{p·q}[exp S]`, in nats.

    `mean_i (1 + S_i⁺ − mean_j exp S_ij)`, j over the negatives. No ceiling, but a variance that grows like exp I;
    and the logits S have to be log density ratios themselves, not up to some c(q) as those that InfoNCE learns, so
    τ = 1 as a rule. The paper's critic is 1 + S. Of the same queries, and both directions, as `mi_bound`.

    Source: Nguyen et al. 2010; Poole et al. 2019, §2.

    >>> round(nwj(info_nce_terms(torch.zeros(4, 1), torch.zeros(4, 1), score="dot", temperature=1.0)).item(), 4)
    0.0
    """
    n_negatives = (terms.n_candidates - 1).to(terms.positive.dtype)
    own = 1 + terms.positive - (log_negatives(terms) - n_negatives.log()).exp()
    mean = _mean(own, _asked(terms) & (n_negatives > 0))
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
    """I_α, between NWJ (α = 0: no ceiling, much variance) and InfoNCE (α = 1: log(n − 1), little of it), in nats.

    `1 + mean_i (S_ii − log a_i) − mean_i Z'_i/(n−1) / a'_i`, with `a = α Z/(n−1) + 1 − α`. Z sums over query i's
    own key and n − 2 others, Z' over the n − 1 keys of others, for the bound needs both of one size; so each query
    leaves out one other's key. Its ceiling is `log((n−1)/α)`. As for `nwj`, logits are log density ratios;
    the paper's q(y) is 1. Two streamed line-ups.

    Args:
        queries: `(n, d)`, n ≥ 3, query i belonging with key i.
        keys: `(n, d)`.
        alpha: α in [0, 1].
        engine: as for `info_nce`, like `temperature`, `score` and `key_bias`.

    Raises:
        ValueError: α outside [0, 1], fewer than three pairs or keys that are not as many, other options, or as
            `info_nce`.

    Source: Poole et al. 2019, §2.3 (interpolated bounds).

    >>> x = torch.zeros(4, 1)
    >>> round(alpha_bound(x, x, alpha=0.5, score="dot", temperature=1.0).item(), 4)
    0.0
    """
    if not 0 <= alpha <= 1:
        raise ValueError(requirement("alpha", "lie between 0 and 1", alpha))
    n = _pairs(queries, keys, options)

    def without(others: Relation) -> Terms:
        given: LineUpOptions = {**options, "exclude": others}
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
    """SMILE, `mean_i S_ii − log mean_{i≠j} exp(clip(S_ij, −c, c))`, in nats: an estimate, and no bound.

    Clipping caps the variance, at the price of a bias in either direction: what the tail beyond c holds is missing
    from the second term. c → ∞ gives the bound of Donsker and Varadhan. As for `nwj`, logits are log density
    ratios, here up to one constant for all. Scores pass band by band.

    Args:
        queries: `(n, d)`, n ≥ 2, query i belonging with key i.
        keys: `(n, d)`.
        clip: c > 0, in nats; the paper's τ.
        options: `temperature`, `score` and `key_bias` as for `info_nce`.

    Raises:
        ValueError: c ≤ 0, fewer than two pairs or keys that are not as many, other options, or as `info_nce`.

    Source: Song & Ermon 2020.

    >>> round(smile(torch.eye(3), torch.eye(3), score="dot", temperature=1.0).item(), 4)
    1.0
    """
    if not clip > 0:
        raise ValueError(requirement("clip", "be positive", clip))
    n = _pairs(queries, keys, options, at_least=2)
    line_up = LineUp.build(queries, keys, **options)
    positive, sums = [], []
    for rows, logits in bands(line_up.scaled_queries(), line_up.keys):
        positive.append(logits[:, rows].diagonal().clone())
        clipped = logits.clip_(-clip, clip)
        clipped[:, rows].diagonal().fill_(-math.inf)
        sums.append(clipped.logsumexp(dim=1))
    return torch.cat(positive).mean() - (torch.cat(sums).logsumexp(0) - math.log(n * (n - 1)))


def _asked(terms: Terms) -> Bool[Tensor, " n"]:
    """Whose line-up has exactly the one positive there is."""
    return (terms.n_positives == 1) & (terms.n_positive_candidates == 1)


def _mean(values: Float[Tensor, " n"], asked: Bool[Tensor, " n"]) -> Float[Tensor, ""]:
    return values.masked_fill(~asked, 0).sum() / asked.sum()


def _pairs(queries: Tensor, keys: Tensor, options: LineUpOptions, at_least: int = 3) -> int:
    """How many pairs there are, if queries and keys are pairs and nothing else."""
    if others := [name for name in ("positives", "exclude", "negatives") if options.get(name) is not None]:
        raise ValueError(requirement(others[0], "be None where query i belongs with key i", "another"))
    if len(keys) != len(queries) or len(queries) < at_least:
        must = f"hold one counterpart for each of at least {at_least} queries"
        raise ValueError(requirement("keys", must, f"{len(keys)} keys for {len(queries)} queries"))
    return len(queries)
