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
from tellapart._engine.one_node_autograd import Pass, Prepared
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
        n_with_positive = torch.count_nonzero(node.passed.of_positives) if node.has_several else n
        return Terms(_ByNode(node, 0), n_with_positive)
    return Terms(_ByNode(node, 0), n, Terms(_ByNode(node, 1), n), of_both=node.of_both)


class _Node:
    """What a pass found for both directions, and what it was of."""

    def __init__(self, found: Prepared) -> None:
        self.found, self.passed, self.with_grad = found, found.passed(), torch.is_grad_enabled()
        self.has_several, self.symmetric = found.problem.several is not None, found.problem.symmetric

    def of_both(self, reduction: str) -> Float[Tensor, ""]:
        """The reduced loss of both directions."""
        each = self.passed.each
        return each.mean() if reduction == "mean" else each.sum() / 2

    def side(self, direction: int) -> Pass:
        """What is of the queries (direction 0) or of the keys (1)."""
        if not self.symmetric:
            return self.passed
        n = len(self.found.queries)
        return self.passed.part(slice(n, None) if direction else slice(n))

    @cached_property
    def related(self) -> LineUp:
        """The problem without what logits are made of: it tells how many candidates there are."""
        queries, keys, further, *_, problem, given = self.found
        keys = queries if keys is None else keys
        return LineUp(
            queries=queries.detach(),
            keys=(keys if further is None else torch.cat([keys, further])).detach(),
            scale=1.0,
            n_keys=problem.m,
            positives=given["positives"],
            exclude=given["exclude"],
            penalty=None,
            mined=None,
            mirrored=False,
        )

    @cached_property
    @full_precision
    def as_graph(self) -> list[Facts]:
        """The terms of both directions with a gradient each."""
        with torch.enable_grad():
            terms = dispatch.evaluate(self.found.line_up("tiled"), symmetric=self.symmetric, engine="tiled")
        return [terms.facts] if terms.reverse is None else [terms.facts, terms.reverse.facts]


class _ByNode:
    """The terms of one direction."""

    def __init__(self, node: _Node, direction: int) -> None:
        self.node, self.direction = node, direction

    @cached_property
    def found(self) -> Pass:
        """What the pass found of this direction."""
        return self.node.side(self.direction)

    def reduced(self, reduction: str) -> None:
        """There is no shorter way."""

    @property
    def _as_graph(self) -> Facts | None:
        """The terms with a gradient, if one is wanted."""
        is_wanted = self.node.with_grad and torch.is_grad_enabled()
        return self.node.as_graph[self.direction] if is_wanted else None

    @property
    def cross_entropy(self) -> Float[Tensor, " n"]:
        return self.found.each

    @property
    def positive(self) -> Float[Tensor, " n"]:
        return self._plain[0] if (graph := self._as_graph) is None else graph.positive

    @property
    def log_partition(self) -> Float[Tensor, " n"]:
        return self._plain[1] if (graph := self._as_graph) is None else graph.log_partition

    @cached_property
    def _plain(self) -> tuple[Tensor, Tensor]:
        """Both of these without a gradient."""
        each = self.found.each.detach()
        if self.node.has_several:
            return self.found.logs - each, self.found.logs
        # A key has the logit that its query has.
        return self.found.of_positives, self.found.of_positives + each

    @cached_property
    def n_candidates(self) -> Int[Tensor, " n"]:
        return n_candidates(self.node.related, self.direction)

    @cached_property
    def n_positives(self) -> Int[Tensor, " n"]:
        if not self.node.has_several:
            return torch.ones_like(self.found.each, dtype=torch.long)
        shares = self.found.of_positives
        return torch.where(shares > 0, shares.reciprocal().round(), 0).long()

    @cached_property
    def details(self) -> Details:
        # All positives are candidates.
        found, negatives = self.found, self.found.tops[-1]
        if self.node.has_several:
            return Details(self.n_positives, found.tops[0], negatives)
        # `logs` has 0 where there is no negative.
        log_negatives = torch.where(negatives.isneginf(), negatives, found.logs)
        return Details(self.n_positives, found.of_positives, negatives, log_negatives)
