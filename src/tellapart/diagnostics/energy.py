"""Candidates as the states of an energy: softmax attention, and the loss without its positives.

    E_ij = −S_ij,    p_ij = exp(−E_ij) / Z_i,    F_i = −log Z_i = U_i − H_i

U is the mean energy, H the entropy and F the free energy of a query's candidates. With a positive, L_i = E_i⁺ − F_i.
The attention of a transformer has S = q·k/√d: "dot" with τ = √d.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import as_temperature, check_finite, requirement
from tellapart.objective import info_nce_terms
from tellapart.relations import Relation, check_relation
from tellapart.variants.options import all_candidates

if TYPE_CHECKING:
    from typing import Unpack

    from jaxtyping import Bool, Float

    from tellapart.variants.options import LineUpOptions


def log_partition(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    engine: str = "auto",
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, " n"]:
    """`log Z_i = log Σ_j exp S_ij` over all candidates, none of which need be a positive; differentiable, streamed.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        engine: as for `info_nce`, like the other options but `positives`.

    Raises:
        ValueError: as `info_nce`; a query with all candidates excluded.

    >>> log_partition(torch.zeros(2, 3), torch.ones(5, 3)).exp()
    tensor([5., 5.])
    """
    return info_nce_terms(queries, keys, engine=engine, **all_candidates(len(queries), options)).log_partition


@dataclass(frozen=True, eq=False)
class Energies:
    """The candidates of each query, of any number of line-ups at once; all in nats, computed when they are read."""

    logits: Float[Tensor, "*batch n m"]
    """`S = −E`; −∞ where a key is no candidate."""

    @cached_property
    def log_shares(self) -> Float[Tensor, "*batch n m"]:
        """`log p_ij`; −∞ for what is no candidate, and for all keys of a query without candidates."""
        return self.logits - self.log_partition.masked_fill(self.n_candidates == 0, 0)[..., None]

    @cached_property
    def shares(self) -> Float[Tensor, "*batch n m"]:
        """`p_ij`, the attention weights; 0 for what is no candidate."""
        return self.log_shares.exp()

    @cached_property
    def log_partition(self) -> Float[Tensor, "*batch n"]:
        """`log Z`; −∞ without candidates."""
        return self.logits.logsumexp(-1)

    @property
    def free_energy(self) -> Float[Tensor, "*batch n"]:
        """`F = −log Z = U − H`."""
        return -self.log_partition

    @cached_property
    def mean_energy(self) -> Float[Tensor, "*batch n"]:
        """`U = Σ_j p_ij E_ij`; 0 without candidates."""
        return -(self.shares * self.logits.masked_fill(~self.candidates, 0)).sum(-1)

    @cached_property
    def entropy(self) -> Float[Tensor, "*batch n"]:
        """`H = −Σ_j p_ij log p_ij`, from 0, for one key with all the weight, to log of the number of candidates."""
        entropy: Tensor = torch.special.entr(self.shares).sum(-1)
        return entropy

    @property
    def effective_candidates(self) -> Float[Tensor, "*batch n"]:
        """`exp H`: how many candidates of equal share have this entropy."""
        return self.entropy.exp()

    @property
    def candidates(self) -> Bool[Tensor, "*batch n m"]:
        """Which keys are candidates."""
        return ~self.logits.isneginf()

    @cached_property
    def n_candidates(self) -> Tensor:
        """How many candidates each query has."""
        return self.candidates.sum(-1)

    def loss(self, targets: Bool[Tensor, "*batch n m"]) -> Float[Tensor, "*batch n"]:
        """`L = F⁺ − F = −log Σ_{j target} p_ij`; of one target `E⁺ − F`, InfoNCE. NaN without a target candidate.

        Several targets count as any one of them, as in `variants.mil_nce`.
        """
        wanted = targets & self.candidates
        found = self.logits.masked_fill(~wanted, -torch.inf).logsumexp(-1)
        return (self.log_partition - found).masked_fill(~wanted.any(-1), torch.nan)

    def blind_loss(self, targets: Bool[Tensor, "*batch n m"]) -> Float[Tensor, "*batch n"]:
        """The loss of equal shares, `log(candidates / targets among them)`; NaN without a target candidate."""
        n_wanted = (targets & self.candidates).sum(-1)
        blind = self.n_candidates.to(self.logits.dtype).log() - n_wanted.to(self.logits.dtype).log()
        return blind.masked_fill(n_wanted == 0, torch.nan)


def energies(
    queries: Float[Tensor, "*batch n d"],
    keys: Float[Tensor, "*batch m d"],
    *,
    temperature: float | Tensor,
    exclude: Relation | Bool[Tensor, "*batch n m"] | None = None,
    bias: Float[Tensor, "*batch n m"] | None = None,
) -> Energies:
    """The energies `E_ij = −(q_i·k_j/τ + bias_ij)` of a batch of line-ups, such as sequences × heads.

    Batch dimensions broadcast. Whole matrices are held: for one large line-up use `log_partition` and
    `effective_candidates`, which stream.

    Args:
        queries: `(…, n, d)`.
        keys: `(…, m, d)`.
        temperature: τ > 0; √d for a transformer's attention.
        exclude: pairs that are no candidates, one relation for all line-ups, or booleans `(…, n, m)`.
        bias: added to the logits; −∞ excludes, too.

    Raises:
        TypeError: queries or keys that are not floating-point.
        ValueError: shapes that do not fit, τ ≤ 0, or values that are not finite.

    Source: Ramsauer et al. 2020, https://arxiv.org/abs/2008.02217, eq. 1, but for terms that the softmax cancels.

    >>> found = energies(torch.zeros(8, 4, 3, 16), torch.ones(8, 4, 5, 16), temperature=4.0)
    >>> found.entropy.shape, found.effective_candidates[0, 0]
    (torch.Size([8, 4, 3]), tensor([5., 5., 5.]))
    """
    for name, vectors in (("queries", queries), ("keys", keys)):
        if not vectors.is_floating_point():
            raise TypeError(requirement(name, "be floating-point", vectors.dtype))
        if vectors.ndim < 2 or vectors.shape[-1] != queries.shape[-1]:
            must = f"have shape (…, rows, {queries.shape[-1]})"
            raise ValueError(requirement(name, must, f"shape {tuple(vectors.shape)}"))
        check_finite(name, vectors)
    temperature = as_temperature(temperature, 1)
    dtype = torch.promote_types(queries.dtype, torch.float32)
    logits = (queries.to(dtype) / temperature) @ keys.to(dtype).mT
    if bias is not None:
        logits = logits + bias.to(dtype)
    if isinstance(exclude, Relation):
        n, m = logits.shape[-2:]
        check_relation("exclude", exclude, n, m)
        exclude = exclude.tile(slice(0, n), slice(0, m), logits.device) > 0
    if exclude is not None:
        logits = logits.masked_fill(exclude, -torch.inf)
    return Energies(logits)
