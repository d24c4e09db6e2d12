"""The terms of a loss that is a single node of Triton's kernels: all that a training reads comes from the same pass.

The losses of queries have their gradient from the node. For that of another term it is computed as any other way would.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart._engine import dispatch
from tellapart._engine.arguments import How
from tellapart._engine.dense import n_candidates
from tellapart._engine.one_node import prepared
from tellapart._engine.one_node_autograd import Prepared
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import LineUp
from tellapart._engine.terms import Details, Facts, Terms

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@full_precision
def terms(queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"], given: dict[str, Any], how: How) -> Terms | None:
    """The terms of queries and keys; `None` if they take another way. Arguments are as for `one_node.loss`.

    Raises:
        TypeError, ValueError: as `LineUp.build` does.

    >>> terms(torch.eye(2), torch.eye(2), {}, How(engine="tiled"))  # on a CPU None without options(kernels="triton")
    """
    found = prepared(queries, keys, given, how, detailed=True)
    if found is None:
        return None
    node, n = _Node(found), len(queries)
    if not how.symmetric:
        shares = node.passed.shares
        return Terms(_ByNode(node, 0), n if shares is None else torch.count_nonzero(shares))
    return Terms(_ByNode(node, 0), n, Terms(_ByNode(node, 1), n), of_both=node.of_both)


class _Node:
    """What a pass found for both directions, and what it was of."""

    def __init__(self, found: Prepared) -> None:
        self.found, self.passed, self.with_grad = found, found.passed(), torch.is_grad_enabled()
        self.symmetric, self.versions = found.problem.symmetric, self._versions() if self.with_grad else ()

    def _versions(self) -> tuple[int, ...]:
        return tuple(x._version for x in self.found[:4] if isinstance(x, Tensor))

    def of_both(self, reduction: str) -> Float[Tensor, ""]:
        """The reduced loss of both directions."""
        each = self.passed.each
        return each.mean() if reduction == "mean" else each.sum() / 2

    def part(self, found: Float[Tensor, "... losses"], direction: int) -> Float[Tensor, "... own"]:
        """What is of the queries (direction 0) or of the keys (1)."""
        if not self.symmetric:
            return found
        n = len(self.found.queries)
        return found[..., n:] if direction else found[..., :n]

    def n_candidates(self, direction: int) -> Int[Tensor, " own"]:
        """The number of candidates of each query (direction 0) or key (1)."""
        found, m = self.found, self.found.problem.m
        c = m if found.further is None else m + len(found.further)
        # Vectors without entries: their number is enough.
        queries, keys = (found.queries.new_empty(size, 0) for size in (len(found.queries), c))
        line_up = LineUp(
            *(queries, keys, 1.0, m, found.related["positives"], found.related["exclude"]),
            penalty=None,
            mined=None,
            mirrored=False,
        )
        return n_candidates(line_up, direction)

    @cached_property
    @full_precision
    def as_graph(self) -> list[Facts]:
        """The terms of both directions with a gradient each.

        Raises:
            RuntimeError: what they are computed from was changed in place.
        """
        if self._versions() != self.versions:
            raise RuntimeError(
                "Embeddings and temperature must stay as they were until all gradients of terms are taken. Got one "
                "that was changed in place. Read terms under torch.no_grad() if no gradient is wanted."
            )
        with torch.enable_grad():
            terms = dispatch.evaluate(self.found.line_up("tiled"), symmetric=self.symmetric, engine="tiled")
        return [terms.facts] if terms.reverse is None else [terms.facts, terms.reverse.facts]


class _ByNode:
    """The terms of one direction."""

    def __init__(self, node: _Node, direction: int) -> None:
        self.node, self.direction = node, direction
        passed, self.shares = node.passed, node.passed.shares
        self.cross_entropy, self.tops, self.logs = (node.part(x, direction) for x in passed[:3])

    def reduced(self, reduction: str) -> None:
        """There is no shorter way."""

    @property
    def _as_graph(self) -> Facts | None:
        """The terms with a gradient, if one is wanted."""
        is_wanted = self.node.with_grad and torch.is_grad_enabled()
        return self.node.as_graph[self.direction] if is_wanted else None

    @property
    def positive(self) -> Float[Tensor, " n"]:
        return self._plain[0] if (graph := self._as_graph) is None else graph.positive

    @property
    def log_partition(self) -> Float[Tensor, " n"]:
        return self._plain[1] if (graph := self._as_graph) is None else graph.log_partition

    @cached_property
    def _plain(self) -> tuple[Tensor, Tensor]:
        """Both of these without a gradient."""
        each = self.cross_entropy.detach()
        if self.shares is None:
            return self.tops[0], self.tops[0] + each
        return torch.where(self.shares > 0, self.logs - each, 0), self.logs

    @cached_property
    def n_candidates(self) -> Int[Tensor, " n"]:
        return self.node.n_candidates(self.direction)

    @cached_property
    def n_positives(self) -> Int[Tensor, " n"]:
        if self.shares is None:
            return torch.ones_like(self.cross_entropy, dtype=torch.long)
        return torch.where(self.shares > 0, self.shares.reciprocal().round(), 0).long()

    @cached_property
    def details(self) -> Details:
        # All of several positives are candidates. Of one each `logs` has 0 where there is no negative.
        negatives = self.tops[1]
        rest = torch.where(negatives.isneginf(), negatives, self.logs) if self.shares is None else None
        return Details(self.n_positives, self.tops[0], negatives, rest)
