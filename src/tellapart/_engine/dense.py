"""The whole matrix of scores, in general, by plain autograd: the reference that the other ways agree with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.problem import LineUp
from tellapart._engine.share import Share
from tellapart._engine.terms import Details, Terms, lazy

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped


def evaluate(line_up: LineUp, multi_positive: str, symmetric: bool) -> Terms:
    """The terms of each query and, if `symmetric`, of each key.

    Formula: `log Z_i = logsumexp_j S_ij` over the candidates j, with S as in `LineUp`. The keys' direction reads the
    same S down its columns.
    """
    m, logits = line_up.n_keys, line_up.logits()
    if line_up.mined is not None:
        logits = torch.cat([logits, line_up.mined], dim=1)
    weights = line_up.positives.tile(slice(0, len(logits)), slice(0, m), logits.device)
    reverse = None
    if symmetric:
        reverse = WholeFacts(line_up, 1, logits[:, :m].T, weights.T, multi_positive).terms()
    return WholeFacts(line_up, 0, logits, weights, multi_positive).terms(reverse)


def shares(line_up: LineUp) -> Float[Tensor, "n c"]:
    """How much of its query's softmax each candidate has, `p_ij = exp(S_ij − log Z_i)`; 0 for those excluded.

    The columns of negatives mined for each query come last.

    >>> shares(LineUp.build(torch.eye(2), torch.eye(2), temperature=1.0))
    tensor([[0.7311, 0.2689],
            [0.2689, 0.7311]])
    """
    logits = line_up.logits()
    if line_up.mined is not None:
        logits = torch.cat([logits, line_up.mined], dim=1)
    weights = line_up.positives.tile(slice(0, len(logits)), slice(0, line_up.n_keys), logits.device)
    logits = WholeFacts(line_up, 0, logits, weights, "out").candidates
    empty = logits.detach().amax(dim=1, keepdim=True) == MASKED
    return logits.masked_fill(empty, 0).softmax(dim=1).masked_fill(empty, 0)


def n_candidates(line_up: LineUp, direction: int) -> Int[Tensor, " n"]:
    """The number of candidates of each query (direction 0) or key (1).

    >>> n_candidates(LineUp.build(torch.eye(2), torch.ones(3, 2)), 1).tolist()
    [2, 2, 2]
    """
    if not line_up.is_traced:
        return Share(line_up, "out", bool(direction)).n_candidates(direction)
    n, m = len(line_up.queries), line_up.n_keys
    rows, size = (m, n) if direction else (n, len(line_up.keys))
    if line_up.mined is not None and not direction:
        size += line_up.mined.shape[1]
    found = torch.full((rows,), size, device=line_up.queries.device)
    if line_up.exclude is None:
        return found
    tile = line_up.exclude.tile(slice(0, n), slice(0, m), found.device) > 0
    return found - tile.sum(0 if direction else 1)


class WholeFacts:
    """One direction of the loss with all logits at hand; each term is computed when it is first read.

    Args:
        line_up: the problem.
        direction: 0 for queries, 1 for keys.
        logits: `(n, c)`, before the margin; where they are excluded they may hold anything finite.
        weights: `(n, m)`, of the positives.
        multi_positive: "out" or "in".
    """

    def __init__(
        self,
        line_up: LineUp,
        direction: int,
        logits: Float[Tensor, "n c"],
        weights: Shaped[Tensor, "n m"],
        multi_positive: str,
    ) -> None:
        self.line_up, self.direction, self.logits = line_up, direction, logits
        self.key_weights, self.multi_positive = weights, multi_positive
        self.with_grad = torch.is_grad_enabled()

    def terms(self, reverse: Terms | None = None) -> Terms:
        """The terms of this direction."""
        return Terms(self, (self.n_positives > 0).sum(), reverse)

    def reduced(self, reduction: str) -> Tensor | None:  # noqa: ARG002
        """There is no shorter way."""
        return None

    @lazy
    def cross_entropy(self) -> Float[Tensor, " n"]:
        # Measured from the best candidate, both terms of a small loss are small, and their difference exact.
        return (self._shifted_partition - self._shifted_positive).masked_fill(self.n_positives == 0, 0)

    @lazy
    def n_positives(self) -> Int[Tensor, " n"]:
        return self.related.sum(dim=1)

    @lazy
    def n_candidates(self) -> Int[Tensor, " n"]:
        return n_candidates(self.line_up, self.direction)

    @lazy
    def positive(self) -> Float[Tensor, " n"]:
        return self._shifted_positive + self._top

    @lazy
    def log_partition(self) -> Float[Tensor, " n"]:
        return self._shifted_partition + self._top

    @lazy
    def details(self) -> Details:
        logits, related, excluded = self.logits.detach(), self.related, self.excluded
        inside, others = (related, related) if excluded is None else (related & ~excluded, related | excluded)
        best, hardest = logits.masked_fill(~related, MASKED), logits.masked_fill(others, MASKED)
        return Details(inside.sum(dim=1), best.amax(dim=1), hardest.amax(dim=1), hardest.logsumexp(dim=1))

    @lazy
    def related(self) -> Bool[Tensor, "n c"]:
        """Where positives are."""
        return self.weights if self.weights.dtype == torch.bool else self.weights > 0

    @lazy
    def weights(self) -> Shaped[Tensor, "n c"]:
        """The positives' weights, 0 for negatives behind the keys."""
        return self._as_wide_as_logits(self.key_weights)

    @lazy
    def excluded(self) -> Bool[Tensor, "n c"] | None:
        """What is excluded, if anything can be."""
        if self.line_up.exclude is None:
            return None
        n, m = len(self.line_up.queries), self.line_up.n_keys
        tile = self.line_up.exclude.tile(slice(0, n), slice(0, m), self.logits.device)
        tile = tile if tile.dtype == torch.bool else tile > 0
        return self._as_wide_as_logits(tile.T if self.direction else tile)

    @lazy
    def with_margin(self) -> Float[Tensor, "n c"]:
        """The logits with the margin taken off the positives."""
        penalty = self.line_up.penalty
        if penalty is None:
            return self.logits
        # A margin of its own for each query lowers a row of the queries' matrix, and a column of the keys'.
        return self.logits - penalty.unsqueeze(0 if self.direction and penalty.ndim else -1) * self.related

    @lazy
    def candidates(self) -> Float[Tensor, "n c"]:
        """The logits of what counts in log Z; −∞ elsewhere."""
        return self.with_margin if self.excluded is None else self.with_margin.masked_fill(self.excluded, MASKED)

    @lazy
    def _has_none(self) -> Bool[Tensor, " n"]:
        return self.candidates.detach().amax(dim=1) == MASKED

    @lazy
    def _top(self) -> Float[Tensor, " n"]:
        return self.candidates.detach().amax(dim=1).masked_fill(self._has_none, 0)

    @lazy
    def _shifted_partition(self) -> Float[Tensor, " n"]:
        return _logsumexp(self.candidates - self._top[:, None], self._has_none)

    @lazy
    def _shifted_positive(self) -> Float[Tensor, " n"]:
        """The positives' logits, averaged by weight as they are ("out") or as exponentials ("in")."""
        logits, weights = self.with_margin - self._top[:, None], self.weights.to(self.logits.dtype)
        none = self.n_positives == 0
        total = weights.sum(dim=1).masked_fill(none, 1)
        if self.multi_positive == "out":
            return (logits * weights).sum(dim=1) / total
        if self.weights.dtype != torch.bool:
            logits = logits + weights.log()
        chosen = logits.masked_fill(~self.related, MASKED)
        top = chosen.detach().amax(dim=1).masked_fill(none, 0)
        return (_logsumexp(chosen - top[:, None], none) + top).masked_fill(none, 0) - total.log()

    def _as_wide_as_logits(self, matrix: Shaped[Tensor, "n m"]) -> Shaped[Tensor, "n c"]:
        more = self.logits.shape[1] - matrix.shape[1]
        return pad(matrix, (0, more)) if more else matrix


def _logsumexp(shifted: Tensor, none: Tensor) -> Tensor:
    """`log Σ exp` of each row, shifted already; −∞, and a gradient of zero, where there is `none`."""
    return shifted.exp().sum(dim=1).masked_fill(none, 1).log().masked_fill(none, MASKED)
