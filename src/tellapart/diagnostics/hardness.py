"""How many negatives push, and how hard the hardest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart._engine import LineUp, evaluate
from tellapart.variants.options import negatives_only

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
    """How many negatives push on each query, as if alike: `exp H_i`, with H the entropy of the negatives' shares.

    `H_i = −Σ_j p_ij log p_ij = log Z⁻_i − Σ_j p_ij S_ij`, where `p_ij = exp S_ij / Z⁻_i` over the negatives alone.
    Between 1, as τ → 0 and nobody else ties with the hardest, and their number K, as τ → ∞.

    The logits are linear in what stands for the queries, so that by Euler's theorem `Σ_j p_ij S_ij` is the product
    of these and of `log Z⁻_i`'s gradient: one more streamed pass, forward and backward, no n×m matrix, about the
    cost of the loss itself. The entropy's error is some ulps of the largest logit.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        engine: as for `info_nce`, like `group` and the other options.

    Raises:
        ValueError: as `info_nce`; a query whose candidates are all positives.

    >>> effective_negatives(torch.eye(8), torch.eye(8), temperature=0.1)  # seven, all alike
    tensor([7.0000, 7.0000, 7.0000, 7.0000, 7.0000, 7.0000, 7.0000, 7.0000])
    """
    with torch.no_grad():
        line_up = _line_up(group, queries, keys, negatives_only(len(queries), len(keys), options))
    # With a column that adds 0 to every logit, the gradient there tells what the shares add up to after rounding.
    rows, cols = line_up.scaled_queries(), line_up.keys
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
    from tellapart._engine import ring  # here, for a torch without distribution

    given: dict[str, Any] = {**options}
    return ring.build_together(group, queries, keys, **given)


@torch.no_grad()
def log_negatives(terms: Terms) -> Float[Tensor, " n"]:
    """`log Z⁻_i`, the negatives' part of the partition function, from what a line-up tells anyway.

    Small line-ups are held whole, and tell it; of streamed ones it is, with one positive,
    `log Z_i + log(1 − exp(−L_i))`. NaN for a query with several positives in its line-up. Streamed losses that
    round to 0 tell only that it lies between the hardest negative's logit and that plus log K: it is then the former.

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
def hardest_share(terms: Terms) -> Float[Tensor, " n"]:
    """How much of the negatives' push the hardest one has, `max_j exp S_ij / Z⁻_i` over the negatives, in [1/K, 1].

    1 as τ → 0 unless others tie with it: it is at least `1 / (1 + (K − 1) exp(−Δ/τ))` where the next hardest scores
    Δ less. Read from `terms` alone. NaN for a query with several positives, or no negative, in its line-up.

    >>> from tellapart.objective import info_nce_terms
    >>> hardest_share(info_nce_terms(torch.eye(4), torch.eye(4), temperature=1.0))
    tensor([0.3333, 0.3333, 0.3333, 0.3333])
    """
    return (terms.top_negative - log_negatives(terms)).exp()
