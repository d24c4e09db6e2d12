"""T11: what a query reads from a memory, and how far that is from what it should read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.diagnostics import log_partition
from tellapart.errors import check_embeddings, requirement
from tellapart.objective import info_nce_terms
from tellapart.relations import Relation, listed
from tellapart.theory.curve import Curve, measured, theory

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_BLOCK = 1024


def read(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    values: Float[Tensor, "m e"],
    *,
    temperature: float,
    exclude: Relation | None = None,
    engine: str = "auto",
) -> Float[Tensor, "n e"]:
    """What each query reads, `Σ_j p_ij v_j`: softmax attention, one step of a Hopfield network if values are keys.

    The gradient of log Z by further coordinates of the queries, all 0, beside the values as further ones of the keys:
    `τ ∂log Z([q, 0], [k, v])/∂0`. The engine streams it, without an n×m matrix. Scores are dot products.

    Args:
        queries: `(n, d)`; normalise them, and the keys, for cosines.
        keys: `(m, d)`.
        values: `(m, e)`.
        temperature: τ > 0.
        exclude: as for `info_nce`, like `engine`.

    Raises:
        ValueError: as `info_nce`; values and keys of different number.

    Source: Ramsauer et al. 2020, https://arxiv.org/abs/2008.02217, eq. 3.

    >>> read(torch.zeros(1, 2), torch.eye(2), torch.tensor([[1.0], [3.0]]), temperature=1.0)
    tensor([[2.]])
    """
    check_embeddings("values", values)
    if len(values) != len(keys):
        raise ValueError(requirement("values", f"have a row for each of the {len(keys)} keys", len(values)))
    with torch.enable_grad():
        probe = queries.new_zeros(len(queries), values.shape[1]).requires_grad_()
        widened = torch.cat([queries.detach(), probe], dim=1), torch.cat([keys, values], dim=1).detach()
        found = log_partition(*widened, temperature=temperature, score="dot", exclude=exclude, engine=engine)
        (gradient,) = torch.autograd.grad(found.sum(), probe)
    return temperature * gradient


def read_error_bound(
    losses: Float[Tensor, " n"], values: Float[Tensor, "m e"], positives: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """The furthest that a read can be from the positive's value: `(1 − e^{−L_i}) · max_j ‖v_j − v_i⁺‖`.

    For `Σ_j p_ij v_j − v⁺ = Σ_{j≠+} p_ij (v_j − v⁺)`, and `Σ_{j≠+} p_ij = 1 − p⁺ = 1 − e^{−L_i}`. A small InfoNCE loss
    is therefore a small error of reading, whatever the values are.

    Args:
        losses: `L_i`, InfoNCE of each query among all m keys.
        values: `(m, e)`.
        positives: the number of each query's key.

    >>> read_error_bound(torch.tensor([0.0, 50.0]), torch.tensor([[0.0], [3.0]]), torch.tensor([0, 1]))
    tensor([0., 3.])
    """
    furthest = [torch.cdist(values[block], values).amax(1) for block in positives.split(_BLOCK)]
    return -torch.expm1(-losses) * torch.cat(furthest)


def error_against_loss(*, stored: int = 1000, dim: int = 32, n: int = 200, seed: int = 0) -> Curve:
    """T11: the mean error of reading stays below the mean of its bound as the loss falls, here with falling τ.

    >>> curve = error_against_loss(stored=20, n=8)
    >>> all(e <= b for e, b in zip(curve.lines[0].y, curve.lines[1].y, strict=True))
    True
    """
    generator = torch.Generator().manual_seed(seed)
    keys = torch.nn.functional.normalize(torch.randn(stored, dim, generator=generator, dtype=torch.float64))
    positives = torch.randint(stored, (n,), generator=generator)
    noise = torch.randn(n, dim, generator=generator, dtype=torch.float64) / dim**0.5
    queries = keys[positives] + 0.5 * noise
    losses, errors, bounds = [], [], []
    for temperature in (1.0, 0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03):
        terms = info_nce_terms(queries, keys, positives=listed(positives), score="dot", temperature=temperature)
        losses.append(terms.per_query())
        errors.append((read(queries, keys, keys, temperature=temperature) - keys[positives]).norm(dim=1))
        bounds.append(read_error_bound(losses[-1], keys, positives))
    means = [loss.mean().item() for loss in losses]
    return Curve(
        claim="T11",
        title=f"What is read from {stored} keys, d = {dim}",
        x="loss in nats",
        y="distance from the positive's value",
        lines=[
            measured("error", means, errors),
            theory("(1 − e^−L) · largest distance", means, [bound.mean().item() for bound in bounds]),
        ],
    )
