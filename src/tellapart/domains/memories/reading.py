"""What attention reads from a memory: the keys' items, weighted by the softmax; and how far off that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tellapart.diagnostics import effective_candidates
from tellapart.objective import info_nce_terms
from tellapart.relations import same
from tellapart.theory import read, read_error_bound

if TYPE_CHECKING:
    from torch import Tensor

    from tellapart.domains.memories.network import Memory
    from tellapart.domains.memories.pairs import Pairs

_ASKED = 1000


@dataclass(frozen=True)
class Reading:
    """Means over queries; distances in units of the mean distance between two values."""

    temperature: float
    loss: float
    """InfoNCE of the queries among all keys, in nats."""
    effective: float
    """The effective number of keys."""
    error: float
    """‖Σ_j p_j v_j − v⁺‖."""
    bound: float
    """(1 − e^−L) · max_j ‖v_j − v⁺‖."""

    def told(self) -> str:
        """It in a sentence."""
        return (
            f"Read by attention, τ = {self.temperature:.3f}: {self.effective:.1f} effective keys, the value read is "
            f"{self.error:.2f} from the right one, where the loss of {self.loss:.2f} nats allows {self.bound:.2f} "
            "(means; 1 is the mean distance of two values)."
        )


@torch.no_grad()
def reading(memory: Memory, asked: Pairs, queries: Tensor, keys: Tensor) -> Reading:
    """What the first thousand pairs' queries read from the keys of all of them; values are the items of the keys.

    Args:
        memory: the encoders, for their temperature.
        asked: the pairs.
        queries: their queries, embedded at length 1.
        keys: their keys, likewise.
    """
    tau, rows = memory.temperature().item(), torch.arange(min(_ASKED, len(asked)))
    values = asked.keys.flatten(1).float()
    line_up = {"temperature": tau, "score": "dot"}
    positives = same(asked.key_ids[rows], asked.key_ids)
    # With several equal keys, their values are the same: the loss is that of finding any of them.
    terms = info_nce_terms(queries[rows], keys, positives=positives, multi_positive="in", **line_up)
    losses = terms.per_query() - terms.n_positives.log()
    errors = (read(queries[rows], keys, values, temperature=tau) - values[rows]).norm(dim=1)
    apart = torch.cdist(values[rows], values[rows])
    unit = (apart.sum() / (apart > 0).sum().clamp(min=1)).clamp(min=1e-12)
    return Reading(
        tau,
        loss=losses.mean().item(),
        effective=effective_candidates(queries[rows], keys, **line_up).mean().item(),
        error=(errors / unit).mean().item(),
        bound=(read_error_bound(losses, values, rows) / unit).mean().item(),
    )
