"""The line-ups of the systems: how many negatives a query has, and what a step of the loss computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.relations import other_views, paired, same

SYSTEMS = ("clip", "simclr", "moco")
_NOBODY, _MOST_QUEUED = -1, 2**16


@dataclass(frozen=True)
class LineUp:
    """The line-up of one step.

    "clip": `batch` pairs, each half finds the other, K = batch − 1. "simclr": two views of `batch` pictures find
    each other, K = 2·batch − 2. "moco": the same, with a slow network's keys and `queue` keys of past batches,
    K = 2·batch − 2 + queue.

    Raises:
        InputError: no such system, a batch of fewer than 2, a queue that is negative or not MoCo's.

    >>> [LineUp(system, batch=256).n_negatives for system in SYSTEMS], LineUp("moco", 256, 65536).n_negatives
    ([255, 510, 510], 66046)
    """

    system: str
    batch: int
    queue: int = 0

    def __post_init__(self) -> None:
        require_option("system", self.system in SYSTEMS, f"be one of {', '.join(SYSTEMS)}", self.system)
        require_option("batch", self.batch >= 2, "be at least 2: a line-up needs somebody else", self.batch)
        require_option("queue", self.queue >= 0, "be at least 0", self.queue)
        must = f"be 0 with {self.system}, whose line-up is the batch (moco has a queue)"
        require_option("queue", self.queue == 0 or self.system == "moco", must, self.queue)

    @property
    def n_queries(self) -> int:
        """Rows of the matrix of scores."""
        return self.batch if self.system == "clip" else 2 * self.batch

    @property
    def n_candidates(self) -> int:
        """Its columns."""
        return self.n_queries + self.queue

    @property
    def n_negatives(self) -> int:
        """K, the negatives of each query: all but its positive and, among views, itself."""
        return self.n_candidates - (1 if self.system == "clip" else 2)

    @property
    def n_keyed(self) -> int:
        """How many views a slow network makes keys of, without gradient; each query is an encoded view, too."""
        return self.n_queries if self.system == "moco" else 0

    @property
    def n_scores(self) -> int:
        """Entries of the matrix."""
        return self.n_queries * self.n_candidates

    def shrunk(self, times: int) -> LineUp:
        """The same with a smaller batch, and no more of the queue than fits into any memory."""
        return replace(self, batch=max(2, self.batch // times), queue=min(self.queue, _MOST_QUEUED))

    def ready(self, dim: int, temperature: float) -> Callable[[], Terms]:
        """What computes the terms of the system's loss, of random embeddings, with gradients as in training."""
        queries = torch.randn(self.n_queries, dim, requires_grad=True)
        if self.system == "clip":
            keys = torch.randn(self.batch, dim, requires_grad=True)
            return lambda: info_nce_terms(queries, keys, temperature=temperature, symmetric=True)
        if self.system == "simclr":
            views = other_views(self.batch)
            return lambda: info_nce_terms(queries, queries, positives=views, exclude=paired(), temperature=temperature)
        keys, ids = torch.randn(self.n_candidates, dim), torch.arange(self.batch).repeat(2)
        counterparts = same(ids, torch.cat([ids, torch.full((self.queue,), _NOBODY)])) & ~paired()
        return lambda: info_nce_terms(queries, keys, positives=counterparts, exclude=paired(), temperature=temperature)
