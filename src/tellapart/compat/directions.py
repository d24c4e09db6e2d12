"""The directions of sentence-transformers' ranking loss: which texts a query, or its document, is told apart from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart import scores
from tellapart._engine import LineUp, evaluate, full_precision
from tellapart.errors import check_loss
from tellapart.relations import Relation, edges, paired
from tellapart.scores import InnerProduct, Score

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch.distributed import ProcessGroup

DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")


@dataclass(frozen=True)
class Ranking:
    """Embedded columns, the queries first, then their documents: the positives, and column by column hard negatives.

    `log Z` of each direction is streamed where the similarity is a score; of another function the matrix is held.
    """

    columns: list[Float[Tensor, "n d"]]
    temperature: float | Tensor
    score: str | Score | None
    similarity: Any
    group: ProcessGroup | None = None

    def loss(self, directions: Sequence[str], partition: str, hardness: str | None, strength: float) -> Tensor:
        """The mean over queries of `log Z_i − S_ii`; of several directions Z is their sum, or log Z their mean."""
        queries, first, *_ = self.columns
        docs, n = full_precision(torch.cat)(self.columns[1:]), len(queries)
        own = self._own_logits(hardness, strength)
        raised = strength if hardness in ("in_batch_negatives", "all_negatives") else 0.0
        others = self._log_z(queries, docs, exclude=self._own(), raised=raised)
        log_z = {"query_to_doc": torch.logaddexp(own.logsumexp(1), others)}
        if "query_to_query" in directions:
            log_z["query_to_query"] = self._log_z(queries, queries, exclude=paired())
        if "doc_to_query" in directions:
            log_z["doc_to_query"] = self._log_z(first, queries)
        if "doc_to_doc" in directions:
            log_z["doc_to_doc"] = self._log_z(first, docs, exclude=self._own())
        each = torch.stack(list(log_z.values()))
        total = each.logsumexp(0) if partition == "joint" else each.mean(0)
        return check_loss((total - own[:, 0]).sum() / n)

    def _own(self) -> Relation:
        """Each query with its own documents, in each column one."""
        n, n_columns = len(self.columns[0]), len(self.columns) - 1
        docs = torch.arange(n * n_columns)
        return edges(torch.stack([docs % n, docs]))

    def _own_logits(self, hardness: str | None, strength: float) -> Float[Tensor, "n columns"]:
        """The logits of each query's own documents, those of hard negatives raised where they are to be."""
        queries = self.columns[0]
        found = [self._pairwise(queries, docs) for docs in self.columns[1:]]
        raised = strength if hardness in ("hard_negatives", "all_negatives") else 0.0
        hard = [s / self.temperature + raised * s.detach() for s in found[1:]]
        return torch.stack([found[0] / self.temperature, *hard], dim=1)

    def _pairwise(self, queries: Tensor, keys: Tensor) -> Float[Tensor, " n"]:
        """The similarity of each query with the key of the same number."""
        if self.score is None:
            matrix: Tensor = self.similarity(queries, keys)
            return matrix.diagonal()
        dtype = torch.promote_types(torch.promote_types(queries.dtype, keys.dtype), torch.float32)
        form = scores.resolve(self.score)(queries.to(dtype), keys.to(dtype))
        return (form.queries * form.keys).sum(1)

    def _log_z(
        self, queries: Tensor, keys: Tensor, exclude: Relation | None = None, raised: float = 0.0
    ) -> Float[Tensor, " n"]:
        """`log Σ_j exp S_ij` over the keys that are not excluded; −∞ where all of them are."""
        n, m = len(queries), len(keys)
        if self.score is None:
            similarity: Tensor = self.similarity(queries, keys)
            logits = similarity / self.temperature + raised * similarity.detach()
            if exclude is not None:
                logits = logits.masked_fill(exclude.tile(slice(0, n), slice(0, m), logits.device), -torch.inf)
            return logits.logsumexp(1)
        if n == 1 and self.group is None and exclude is not None:
            return queries.new_full((1,), -torch.inf)
        score = _raised(scores.resolve(self.score), raised * self.temperature)
        # Whichever key is called the positive, log Z is the same.
        given: dict[str, Any] = {"positives": paired(), "exclude": exclude, "temperature": self.temperature}
        if self.group is None:
            return evaluate(LineUp.build(queries, keys, score=score, **given)).log_partition
        from tellapart._engine.ring import build_together  # here, for a torch without distribution

        return evaluate(build_together(self.group, queries, keys, score=score, **given)).log_partition


def _raised(score: Score, strength: float | Tensor) -> Callable[[Tensor, Tensor], InnerProduct]:
    """The score and so many times its value as a constant: `s + strength · sg(s)`."""
    if not isinstance(strength, Tensor) and not strength:
        return score

    def both(queries: Tensor, keys: Tensor) -> InnerProduct:
        form = score(queries, keys)
        rows, cols = form.queries, form.keys
        return InnerProduct(torch.cat([rows, strength * rows.detach()], 1), torch.cat([cols, cols.detach()], 1))

    return both
