"""Mutual information, as far as a line-up can see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.partition import Terms


def mi_bound(terms: Terms) -> Float[Tensor, ""]:
    """InfoNCE's lower bound on the mutual information of query and key, in nats.

    `I(q; k) ≥ mean_i (log n_candidates_i − L_i)`, the mean of both directions if symmetric. It holds in
    expectation over line-ups of one true pair and independent negatives, and it cannot exceed the log of
    the line-up's size, however much information there is. Queries with several positives, or whose
    positive is excluded, are left out, for theirs is no such line-up; NaN if there are no others.

    Source: van den Oord et al. 2018, §2.3 and appendix A.1; Poole et al. 2019, eq. 10.

    >>> import torch
    >>> from tellapart.objective import info_nce_terms
    >>> perfect = info_nce_terms(torch.eye(8), torch.eye(8), temperature=0.01)
    >>> round(mi_bound(perfect).item(), 4)  # log 8
    2.0794
    """
    own = terms.n_candidates.log() - terms.per_query()
    asked = (terms.n_positives == 1) & (terms.n_positive_candidates == 1)
    mean = own.masked_fill(~asked, 0).sum() / asked.sum()
    return mean if terms.reverse is None else (mean + mi_bound(terms.reverse)) / 2
