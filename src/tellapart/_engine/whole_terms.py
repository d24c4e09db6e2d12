"""The terms of one positive each, where few scores are held as a whole matrix and the loss is a single node.

A training takes the gradient of the loss, and reads all else without one: for that the logits are at hand. For the
gradient of another term they are computed again, as a graph.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart._engine.arguments import How
from tellapart._engine.cross_entropy import OnePositive, without_excluded
from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import LineUp
from tellapart._engine.terms import Details, Terms
from tellapart._engine.whole import Prepared, prepared

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart.relations import Pairs


@full_precision
def terms(queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"], given: dict[str, Any], how: How) -> Terms | None:
    """The terms of queries and keys; `None` if they take another way. Arguments are as for `whole.loss`.

    Raises:
        TypeError, ValueError: as `LineUp.build` does.

    >>> terms(torch.eye(2), torch.eye(2), {"temperature": 1.0}, How(symmetric=True)).loss()
    tensor(0.3133)
    """
    found = prepared(queries, keys, given, how)
    if found is None:
        return None
    if found.further is not None:
        # Copied together: a queue may be written to before the loss is asked for.
        found = found._replace(keys=found.candidates, further=None)
    matrix, n = _Matrix(found), len(found.queries)
    if not how.symmetric:
        return Terms(_ByNode(matrix, 0), n)
    return Terms(_ByNode(matrix, 0), n, Terms(_ByNode(matrix, 1), n), of_both=matrix.loss)


class _Matrix:
    """The logits of both directions, at hand and as a graph."""

    def __init__(self, found: Prepared) -> None:
        self.found, self.problem, self.with_grad = found, found.problem, torch.is_grad_enabled()
        with torch.no_grad():
            self.logits = found.problem.logits(found.queries, found.candidates, found.temperature)

    @full_precision
    def loss(self, reduction: str) -> Float[Tensor, ""]:
        """The loss of all directions."""
        with torch.set_grad_enabled(self.with_grad):
            return self.found._replace(problem=self.problem._replace(reduction=reduction)).loss(self.logits)

    @cached_property
    def line_up(self) -> LineUp:
        """The problem as other ways state it."""
        found, candidates = self.found, self.found.candidates
        return LineUp(
            queries=found.queries.to(self.logits.dtype),
            keys=candidates.to(self.logits.dtype),
            scale=1 / found.temperature,
            n_keys=self.problem.m,
            positives=self.problem.positives,
            exclude=self.problem.exclude,
            penalty=None,
            mined=None,
            mirrored=self.problem.mirrored,
        )

    @cached_property
    def pairs(self) -> Pairs:
        """The positives."""
        pairs = self.problem.positives.pairs(self.problem.n, self.problem.m, self.logits.device)
        assert pairs is not None
        return pairs

    @cached_property
    def at_hand(self) -> tuple[OnePositive, OnePositive]:
        """What both directions' terms are, without a gradient."""
        with torch.no_grad():
            logits = self.logits
            if self.problem.exclude is not None and (floor := self.problem.floor(self.found.queries)) != MASKED:
                logits = logits.masked_fill(logits == floor, MASKED)
            return self._both(logits)

    @cached_property
    @full_precision
    def as_graph(self) -> tuple[OnePositive, OnePositive]:
        """The same with a gradient."""
        with torch.enable_grad():
            return self._both(without_excluded(self.line_up))

    def _both(self, logits: Tensor) -> tuple[OnePositive, OnePositive]:
        of = OnePositive.of
        return of(self.line_up, 0, logits, self.pairs), of(self.line_up, 1, logits, self.pairs)


class _ByNode:
    """The terms of one direction."""

    def __init__(self, matrix: _Matrix, direction: int) -> None:
        self.matrix, self.direction = matrix, direction

    @property
    def _at_hand(self) -> OnePositive:
        return self.matrix.at_hand[self.direction]

    @property
    def _terms(self) -> OnePositive:
        is_wanted = self.matrix.with_grad and torch.is_grad_enabled()
        return self.matrix.as_graph[self.direction] if is_wanted else self._at_hand

    def reduced(self, reduction: str) -> Float[Tensor, ""]:
        is_all = not self.matrix.problem.symmetric
        return self.matrix.loss(reduction) if is_all else self._terms.reduced(reduction)

    @property
    def cross_entropy(self) -> Float[Tensor, " n"]:
        return self._terms.cross_entropy

    @property
    def positive(self) -> Float[Tensor, " n"]:
        return self._terms.positive

    @property
    def log_partition(self) -> Float[Tensor, " n"]:
        return self._terms.log_partition

    @property
    def n_candidates(self) -> Int[Tensor, " n"]:
        return self._at_hand.n_candidates

    @property
    def n_positives(self) -> Int[Tensor, " n"]:
        return self._at_hand.n_positives

    @property
    def details(self) -> Details:
        return self._at_hand.details
