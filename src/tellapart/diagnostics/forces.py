"""The forces on a query: the pull of its positives and the push of its candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine import LineUp, dense
from tellapart.objective import info_nce_terms

if TYPE_CHECKING:
    from typing import Unpack

    from jaxtyping import Float

    from tellapart.variants.options import LineUpOptions


@dataclass(frozen=True, eq=False)
class Forces:
    """The two parts of each query's gradient; a step against it goes along `pull − push`."""

    pull: Float[Tensor, "n d"]
    """`∂S_i⁺/∂q_i`, towards the positive: `k⁺/τ` for dot products; 0 for a query without a positive."""
    push: Float[Tensor, "n d"]
    """`∂log Z_i/∂q_i`, towards the weighted mean of the candidates: `Σ_j p_ij k_j/τ` for dot products, with the
    positive among them; 0 for a query without a positive."""

    @property
    def gradient(self) -> Float[Tensor, "n d"]:
        """`∂L_i/∂q_i = push − pull`."""
        return self.push - self.pull


def forces(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    margin: float = 0.0,
    multi_positive: str = "out",
    engine: str = "auto",
    **options: Unpack[LineUpOptions],
) -> Forces:
    """The two forces of the loss `L_i = log Z_i − S_i⁺` on its query, `∂L_i/∂q_i = push_i − pull_i`.

    With dot products and one positive, `pull_i = k⁺/τ` and `push_i = Σ_j p_ij k_j / τ`, where p are the `shares`.
    With cosines they are the same for unit vectors, without the component along the query, and divided by `‖q_i‖`.
    Keys are constants: if the queries are also the keys, this is only the gradient of each as a query. `info_nce`
    returns the mean over the queries, so its gradient is that of `L_i` divided by their number. Streamed: no n×m
    matrix.

    Args:
        queries: `(n, d)`, before any normalisation.
        keys: `(m, d)`.
        margin: as for `info_nce`, like the other options.

    Raises:
        ValueError: as `info_nce`.

    Source: Wang & Liu 2021, for the shares in the gradient.

    >>> found = forces(torch.eye(2), torch.eye(2), score="dot", temperature=1.0)
    >>> found.pull[0], found.push[0]
    (tensor([1., 0.]), tensor([0.7311, 0.2689]))
    """
    with torch.enable_grad():
        moved = queries.detach().requires_grad_()
        terms = info_nce_terms(
            moved, keys.detach(), margin=margin, multi_positive=multi_positive, engine=engine, **options
        )
        (pull,) = torch.autograd.grad(terms.positive.sum(), moved, retain_graph=True)
        (push,) = torch.autograd.grad(terms.log_partition.sum(), moved)
    return Forces(pull, push.masked_fill((terms.n_positives == 0)[:, None], 0))


def shares(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    margin: float = 0.0,
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, "n m_and_k"]:
    """The softmax probability of each candidate, `p_ij = exp S_ij / Σ_j exp S_ij`: its share of the push.

    The result is a whole matrix, one row per query: pass only the queries of interest. Keys come first, then further
    negatives. An excluded candidate has share 0.

    Args:
        queries: `(n, d)`; relations in the options refer to these rows.
        keys: `(m, d)`.
        margin: as for `info_nce`, like the other options.

    Raises:
        ValueError: as `info_nce`.

    >>> shares(torch.eye(3)[:1], torch.eye(3), temperature=1.0)
    tensor([[0.5761, 0.2119, 0.2119]])
    """
    return dense.shares(LineUp.build(queries, keys, margin=margin, **options))
