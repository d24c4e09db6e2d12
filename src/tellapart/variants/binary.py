"""The binary relatives, which are not InfoNCE: each pair is classified by itself, as real or not.

Their optimal score is another, too: SGNS learns PMI − log k and NCE log p itself, where InfoNCE learns a
log density ratio up to a constant per query.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine import LineUp, check_per_candidate, evaluate_binary
from tellapart.errors import check_embeddings, requirement
from tellapart.relations import Relation
from tellapart.scores import Score
from tellapart.variants.options import n_candidates, reduced

if TYPE_CHECKING:
    from jaxtyping import Float


def sigmoid(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    bias: float | Float[Tensor, ""] = -10.0,
    temperature: float | Tensor = 0.1,
    positives: Relation | None = None,
    exclude: Relation | None = None,
    score: str | Score = "cosine",
    reduction: str = "mean",
) -> Float[Tensor, "..."]:
    """The sigmoid loss of SigLIP: `L_i = −Σ_j log σ(z_ij (s_ij/τ + b))`, z = 1 for positives, −1 for others.

    Streamed, also in its gradient. The mean is over all queries, those without a positive too, and b is in nats.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        bias: b, a number or a 0-d tensor that is learned; the paper starts it at −10.
        temperature: τ, the paper's 1/t, which starts at 0.1.
        positives: the relation of queries to their positives; by default query i and key i.
        exclude: pairs that are not judged as negatives.
        score: as for `info_nce`.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: as `info_nce`, but that a query may have no positive.

    Source: Zhai et al. 2023, algorithm 1; its eq. 1 writes b with the other sign.

    >>> sigmoid(torch.eye(2), torch.eye(2), bias=0.0, temperature=1.0)  # log(1 + 1/e) + log 2
    tensor(1.0064)
    """
    check_embeddings("queries", queries)
    # In the precision of the loss, which may be higher than the embeddings'.
    dtype = torch.promote_types(queries.dtype, torch.float32)
    key_bias = torch.as_tensor(bias, dtype=dtype, device=queries.device)
    if key_bias.ndim:
        raise ValueError(requirement("bias", "be a number or a 0-d tensor", f"shape {tuple(key_bias.shape)}"))
    line_up = LineUp.build(
        *(queries, keys),
        positives=positives,
        exclude=exclude,
        temperature=temperature,
        score=score,
        key_bias=key_bias.expand(len(keys)),
    )
    losses = evaluate_binary(line_up)
    return reduced(losses, torch.ones_like(losses, dtype=torch.bool), reduction)


def sgns(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    *,
    negatives: Float[Tensor, "k d"] | Float[Tensor, "n k d"],
    positives: Relation | None = None,
    temperature: float | Tensor = 1.0,
    score: str | Score = "dot",
    reduction: str = "mean",
) -> Float[Tensor, "..."]:
    """Skip-gram with negative sampling: `L_i = −log σ(S_i⁺) − Σ_{j=1}^k log σ(−S_ij)` over k drawn negatives.

    Binary: the best score is `PMI(q, c) − log k`. Other queries' keys are not among the negatives. The mean is
    over all queries.

    Args:
        queries: `(n, d)`, centre words.
        keys: `(n, d)`, context words.
        negatives: words drawn from the noise, `(k, d)` for all or `(n, k, d)` per query.
        positives: as for `info_nce`, like the rest.

    Raises:
        ValueError: as `info_nce`, but that a query may have no positive.

    Source: Mikolov et al. 2013, eq. 4; its optimum: Levy & Goldberg 2014, eq. 6.

    >>> sgns(torch.zeros(1, 2), torch.zeros(1, 2), negatives=torch.zeros(3, 2))  # 4 log 2
    tensor(2.7726)
    """
    line_up = LineUp.build(
        *(queries, keys), positives=positives, negatives=negatives, temperature=temperature, score=score
    )
    losses = evaluate_binary(line_up, only_negatives=True)
    return reduced(losses, torch.ones_like(losses, dtype=torch.bool), reduction)


def nce(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    *,
    negatives: Float[Tensor, "k d"],
    log_noise: Float[Tensor, " n_and_k"],
    temperature: float | Tensor = 1.0,
    score: str | Score = "dot",
    reduction: str = "mean",
) -> Float[Tensor, "..."]:
    """Noise-contrastive estimation: real or noise? `L_i = −log σ(G_i⁺) − Σ_j log σ(−G_ij)`, `G = S − log(k q)`.

    Binary: the best score is `log p(key | query)`, normalised by itself.

    Args:
        queries: `(n, d)`.
        keys: `(n, d)`, one observed for each query.
        negatives: `(k, d)`, drawn from the noise q for all queries.
        log_noise: `log q` of each key and then of each negative, `(n + k,)`, in nats.
        temperature: as for `info_nce`, like the rest.

    Raises:
        ValueError: no negatives per query of their own, `(n, k, d)`; or as `info_nce`.

    Source: Gutmann & Hyvärinen 2010, eq. 3; Mnih & Teh 2012, eq. 8.

    >>> noise = torch.full((2,), 1.0).log()
    >>> nce(torch.zeros(1, 2), torch.zeros(1, 2), negatives=torch.zeros(1, 2), log_noise=noise)  # 2 log 2
    tensor(1.3863)
    """
    check_embeddings("negatives", negatives, dims=(2, 3))
    if negatives.ndim != 2:
        raise ValueError(
            requirement("negatives", "be shared by all queries, (k, d)", f"shape {tuple(negatives.shape)}")
        )
    check_per_candidate("log_noise", log_noise, n_candidates(keys, negatives))
    dtype = torch.promote_types(log_noise.dtype, torch.float32)
    key_bias = -(log_noise.to(dtype) + math.log(len(negatives)))
    line_up = LineUp.build(
        *(queries, keys), negatives=negatives, temperature=temperature, score=score, key_bias=key_bias
    )
    losses = evaluate_binary(line_up, only_negatives=True)
    return reduced(losses, torch.ones_like(losses, dtype=torch.bool), reduction)
