"""The density ratio that a trained critic has learned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import requirement
from tellapart.objective import info_nce_terms
from tellapart.relations import everyone, paired

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.scores import Score


@torch.no_grad()
def density_ratio(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    reference: Float[Tensor, "m d"],
    *,
    temperature: float | Tensor = 0.07,
    score: str | Score = "cosine",
    log_probability: Float[Tensor, " m"] | None = None,
    engine: str = "auto",
) -> Float[Tensor, " n"]:
    """`log p(y|x)/q(y)` of each pair (query i, key i), in nats, from the critic that embedded them.

    InfoNCE's best logits are `s*(x, y)/τ = log p(y|x)/q(y) + c(x)`, and its loss does not determine c. The ratio has
    mean 1 over y drawn from q, which gives `c(x) = log E_q exp(s(x, y)/τ)`. Over m draws from q this is

        log r_i = S_i⁺ − (log Σ_j exp S_ij − log m),    j over the reference,

    which is exact for m → ∞. For finite m it is too high on average, by about `Var_q(r)/2m` per query: m has to be
    large compared with exp I. If the reference lists all values of y, with their log-probabilities, c is exact.
    Streamed.

    Args:
        queries: `(n, d)`, embeddings of x.
        keys: `(n, d)`, embeddings of the y at which to take the ratio.
        reference: `(m, d)`, embeddings of further y, drawn from q, or of all values of y.
        temperature: as for `info_nce`, like `score` and `engine`.
        log_probability: `log q_j` of each reference, if these list all values of y; normalised here.

    Raises:
        ValueError: not as many keys as queries, or as `info_nce`.

    Source: van den Oord et al. 2018, §2.3.

    >>> x = torch.tensor([[2.0, 0.0]])
    >>> y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> density_ratio(x, y[:1], y, temperature=1.0, score="dot")  # 2 − log((e² + 1)/2)
    tensor([0.5662])
    """
    if len(keys) != len(queries):
        raise ValueError(requirement("keys", f"hold one for each of the {len(queries)} queries", len(keys)))
    if not len(reference):
        raise ValueError(requirement("reference", "hold at least one y", "none"))
    log_mass, bias = math.log(len(reference)), None
    if log_probability is not None:
        if log_probability.shape != (len(reference),):
            must = f"have one entry per reference, ({len(reference)},)"
            raise ValueError(requirement("log_probability", must, f"shape {tuple(log_probability.shape)}"))
        log_probability = log_probability.log_softmax(0).to(queries)
        log_mass, bias = 0.0, torch.cat([log_probability.new_zeros(len(keys)), log_probability])
    terms = info_nce_terms(
        queries,
        keys,
        positives=paired(),
        exclude=everyone(),
        negatives=reference,
        temperature=temperature,
        score=score,
        key_bias=bias,
        engine=engine,
    )
    return log_mass - terms.per_query()
