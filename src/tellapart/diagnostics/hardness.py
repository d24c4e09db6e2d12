"""How many candidates or negatives push a query, and how much of the push the hardest has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart._engine import LineUp, evaluate
from tellapart.variants.options import all_candidates, negatives_only

if TYPE_CHECKING:
    from typing import Unpack

    from jaxtyping import Float
    from torch.distributed import ProcessGroup

    from tellapart._engine import Terms
    from tellapart.variants.options import LineUpOptions


def effective_negatives(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    engine: str = "auto",
    group: ProcessGroup | None = None,
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, " n"]:
    """The effective number of negatives of each query: `exp H_i`, with H the entropy of the negatives' shares.

    `H_i = −Σ_j p_ij log p_ij = log Z⁻_i − Σ_j p_ij S_ij`, where `p_ij = exp S_ij / Z⁻_i` over the negatives alone.
    It goes to 1 as τ → 0 if no other negative ties with the hardest, and to their number K as τ → ∞.

    The logits are linear in the transformed queries. By Euler's theorem `Σ_j p_ij S_ij` is therefore the product of
    these with the gradient of `log Z⁻_i`. This takes one more streamed pass, forward and backward, without an n×m
    matrix, at about the cost of the loss itself. The entropy's error is some ulps of the largest logit.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        engine: as for `info_nce`, like `group` and the other options.

    Raises:
        ValueError: as `info_nce`; a query without a negative.

    >>> effective_negatives(torch.eye(8), torch.eye(8), temperature=0.1)  # seven, all alike
    tensor([7.0000, 7.0000, 7.0000, 7.0000, 7.0000, 7.0000, 7.0000, 7.0000])
    """
    return _effective(group, queries, keys, negatives_only(len(queries), len(keys), options), engine)


def effective_candidates(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    engine: str = "auto",
    group: ProcessGroup | None = None,
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, " n"]:
    """The effective number of candidates, `exp H_i`, with H the entropy of all shares: no positive is needed.

    For the attention of a transformer, "dot" with τ = √d, these are the keys that a query reads. Streamed, as
    `effective_negatives`.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        engine: as for `info_nce`, like `group` and the other options but `positives`.

    Raises:
        ValueError: as `info_nce`; a query with all candidates excluded.

    >>> effective_candidates(torch.zeros(2, 3), torch.eye(3))
    tensor([3., 3.])
    """
    return _effective(group, queries, keys, all_candidates(len(queries), options), engine)


def _effective(
    group: ProcessGroup | None, queries: Tensor, keys: Tensor, options: LineUpOptions, engine: str
) -> Float[Tensor, " n"]:
    """`exp H` of the shares among the candidates."""
    with torch.no_grad():
        line_up = _line_up(group, queries, keys, options)
    # A further column adds 0 to every logit; its gradient is the sum of the shares after rounding.
    rows, cols = line_up.scaled_queries(), line_up.scaled_keys()
    factors = [torch.cat([rows, torch.zeros_like(rows[:, :1])], dim=1)]
    if line_up.mined is not None:
        factors.append(line_up.mined)
    with torch.enable_grad():
        factors = [factor.detach().requires_grad_() for factor in factors]
        line_up = replace(
            line_up,
            queries=factors[0],
            keys=torch.cat([cols, torch.ones_like(cols[:, :1])], dim=1),
            scale=1.0,
            key_scale=None,
            halves=None,
            largest=None,
            mined=factors[1] if len(factors) > 1 else None,
            mirrored=False,
        )
        log_partition = evaluate(line_up, engine=engine).log_partition
        gradients = torch.autograd.grad(log_partition.sum(), factors)
    total = gradients[0][:, -1] + sum(gradient.sum(dim=1) for gradient in gradients[1:])
    mean = sum((f.detach() * g).sum(dim=1) for f, g in zip(factors, gradients, strict=True)) / total
    return (log_partition.detach() - mean).exp()


def _line_up(group: ProcessGroup | None, queries: Tensor, keys: Tensor, options: LineUpOptions) -> LineUp:
    if group is None:
        return LineUp.build(queries, keys, **options)
    from tellapart._engine import ring  # here, because torch may be built without distribution

    given: dict[str, Any] = {**options}
    return ring.build_together(group, queries, keys, **given)


@torch.no_grad()
def log_negatives(terms: Terms) -> Float[Tensor, "... n"]:
    """`log Z⁻_i`, the negatives' part of the partition function, from the terms alone.

    Losses computed from the whole matrix provide it, and Triton's of one positive each. With one positive, other
    streamed ones give it as `log Z_i + log(1 − exp(−L_i))`. If such a loss rounds to 0, log Z⁻ lies between the
    hardest negative's logit and that plus log K; the lower end is returned. NaN for a query with several positives
    among its candidates.

    >>> from tellapart.objective import info_nce_terms
    >>> log_negatives(info_nce_terms(torch.eye(4), torch.eye(4), temperature=1.0))  # log 3
    tensor([1.0986, 1.0986, 1.0986, 1.0986])
    """
    several = terms.n_positive_candidates > 1
    if terms.details.log_negatives is not None:
        return terms.details.log_negatives.masked_fill(several, torch.nan)
    n_negatives = terms.n_candidates - terms.n_positive_candidates
    rest = terms.log_partition + torch.log(-torch.expm1(-terms.per_query().clamp(min=0)))
    rest = torch.where(terms.n_positive_candidates == 0, terms.log_partition, rest)
    low = terms.top_negative.to(rest.dtype)
    rest = rest.clamp(low, low + n_negatives.clamp(min=1).to(rest.dtype).log())
    return rest.masked_fill(several, torch.nan)


@torch.no_grad()
def hardest_share(terms: Terms) -> Float[Tensor, "... n"]:
    """The hardest negative's share of the negatives' push, `max_j exp S_ij / Z⁻_i` over the negatives, in [1/K, 1].

    It goes to 1 as τ → 0 unless other negatives tie. If the next hardest scores Δ less, it is at least
    `1 / (1 + (K − 1) exp(−Δ/τ))`. Read from `terms` alone. NaN for a query with several positives, or no negative,
    among its candidates.

    >>> from tellapart.objective import info_nce_terms
    >>> hardest_share(info_nce_terms(torch.eye(4), torch.eye(4), temperature=1.0))
    tensor([0.3333, 0.3333, 0.3333, 0.3333])
    """
    return (terms.top_negative - log_negatives(terms)).exp()
