"""Other weights for negatives: hard ones count more, hidden positives less, frequent ones as if drawn evenly."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine import Terms, check_per_candidate
from tellapart.errors import as_temperature
from tellapart.objective import info_nce
from tellapart.relations import Relation
from tellapart.variants.options import Options, check_between, decoupled_terms, n_candidates, reduced

if TYPE_CHECKING:
    from typing import Unpack

    from jaxtyping import Float


def hard_negatives(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    beta: float = 1.0,
    prior: float = 0.1,
    temperature: float | Tensor = 0.5,
    positives: Relation | None = None,
    exclude: Relation | None = None,
    negatives: Tensor | None = None,
    exclude_negatives: Relation | None = None,
    reduction: str = "mean",
    engine: str = "auto",
) -> Float[Tensor, "..."]:
    """HCL: negatives count in proportion to `exp(β S)`, and are corrected for hidden positives among them.

    `L_i = log(exp S⁺ + N g) − S⁺`, `g = max((E_β[exp S⁻] − τ⁺ exp S⁺) / (1 − τ⁺), exp(−1/τ))`, where
    `log E_β[exp S⁻] = lse_j (1+β)S_ij − lse_j β S_ij` over the N negatives: two log-partitions. Scores
    are cosines, and S⁺ is the mean over a query's positives.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        beta: β ≥ 0, the concentration on hard negatives; 0 counts all alike.
        prior: τ⁺ in [0, 1), how probable it is that a negative is a positive in truth.
        temperature: as for `info_nce`, like the other options.

    Raises:
        ValueError: β or τ⁺ out of range, or as `dcl`.

    Source: Robinson et al. 2021, eq. 4 and its appendix's estimator.

    >>> x = torch.eye(2)
    >>> hard_negatives(x, x, beta=2.0, prior=0.0, temperature=1.0)  # one negative: InfoNCE
    tensor(0.3133)
    """
    check_between("beta", beta, 0, math.inf)
    check_between("prior", prior, 0, 1)
    temperature = as_temperature(temperature, len(queries))

    def at_scale(scale: float) -> Terms:
        return decoupled_terms(
            *(queries, keys),
            positives=positives,
            exclude=exclude,
            negatives=negatives,
            exclude_negatives=exclude_negatives,
            temperature=temperature / scale,
            engine=engine,
        )

    terms = at_scale(1 + beta)
    positive, log_count = terms.positive / (1 + beta), terms.n_candidates.clamp(min=1).to(terms.positive.dtype).log()
    weighed = terms.log_partition - (at_scale(beta).log_partition if beta > 0 else log_count)
    weighed = weighed.masked_fill(terms.n_candidates == 0, 0)  # Without a positive, too, or they were refused.
    # log(E − τ⁺ exp S⁺), where that is positive; elsewhere the floor decides, without a gradient.
    excess = positive + math.log(prior) - weighed if prior else torch.full_like(weighed, -torch.inf)
    floored = excess >= 0
    corrected = weighed + torch.log(-torch.expm1(excess.masked_fill(floored, -torch.inf))) - math.log1p(-prior)
    floor = -1 / torch.as_tensor(temperature, dtype=weighed.dtype, device=weighed.device)
    log_g = torch.where(floored, floor, torch.maximum(corrected, floor.expand_as(corrected)))
    loss = torch.logaddexp(log_count + log_g - positive, torch.zeros_like(positive))
    return reduced(loss, terms.n_positives > 0, reduction)


def debiased(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    prior: float = 0.1,
    temperature: float | Tensor = 0.5,
    positives: Relation | None = None,
    exclude: Relation | None = None,
    negatives: Tensor | None = None,
    exclude_negatives: Relation | None = None,
    reduction: str = "mean",
    engine: str = "auto",
) -> Float[Tensor, "..."]:
    """Debiased contrastive loss: as if the positives hidden among the negatives were taken out of their mean.

    `L_i = log(exp S⁺ + N g) − S⁺`, `g = max((mean_j exp S⁻_ij − τ⁺ exp S⁺) / (1 − τ⁺), exp(−1/τ))`.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        prior: τ⁺ in [0, 1), how probable it is that a negative is a positive in truth; 0 gives InfoNCE.
        temperature: as for `info_nce`, like the other options.

    Raises:
        ValueError: τ⁺ out of range, or as `dcl`.

    Source: Chuang et al. 2020, eq. 7 and 8.

    >>> debiased(torch.eye(2), torch.eye(2), prior=0.0, temperature=1.0)
    tensor(0.3133)
    """
    return hard_negatives(
        *(queries, keys),
        beta=0,
        prior=prior,
        temperature=temperature,
        positives=positives,
        exclude=exclude,
        negatives=negatives,
        exclude_negatives=exclude_negatives,
        reduction=reduction,
        engine=engine,
    )


def log_q(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    log_probability: Float[Tensor, " m_and_k"],
    **options: Unpack[Options],
) -> Float[Tensor, "..."]:
    """InfoNCE corrected for how candidates were drawn: `S_ij − log q_j` in place of `S_ij`.

    Frequent candidates appear in more line-ups; this takes back the push that costs them.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        log_probability: `log q_j`, how probable each key and shared negative was to be drawn, `(m + k,)`.
        options: as for `info_nce`; a `key_bias` is added.

    Raises:
        ValueError: as `info_nce`.

    Source: Yi et al. 2019, eq. 3; Bengio & Senécal 2008.

    >>> log_q(torch.eye(2), torch.eye(2), torch.tensor([0.5, 0.5]).log(), temperature=1.0)
    tensor(0.3133)
    """
    check_per_candidate("log_probability", log_probability, n_candidates(keys, options.get("negatives")))
    bias = options.get("key_bias")
    options["key_bias"] = -log_probability if bias is None else bias - log_probability
    return info_nce(queries, keys, **options)
