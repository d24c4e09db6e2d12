"""The loss of one positive each as a single node of autograd, where few scores are held as a whole matrix.

    L_i = −log P_ip,    P_ij = exp S_ij / Σ_k exp S_ik,    ∂L_i/∂S_ij = P_ij − [j = p]

with p the place of query i's positive. In the symmetric loss the softmax is taken down the columns, too. What the
gradients are a product of is formed with the loss, in the memory of the scores. Compared with autograd's operations
these are fewer calls, for which a GPU waits here, and fewer passes over the matrix, which take a CPU its time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from tellapart import scores
from tellapart._engine import dispatch
from tellapart._engine.arguments import How, checked, checked_negatives
from tellapart._engine.cross_entropy import both_ways, masked, never_meet
from tellapart._engine.crossover import is_whole
from tellapart._engine.double_backward import cut, of_loss
from tellapart._engine.further import same_width
from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import TEMPERATURE, LineUp, are_symmetric, folded, product_with
from tellapart._engine.schedule import ALONE
from tellapart._traced import is_traced
from tellapart.errors import as_temperature
from tellapart.relations import Relation

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart.scores import Score

TINY = 2**13
"""Scores up to which a CPU takes less time for autograd's own nodes, if these are few."""
_WIDE, _HALF = (torch.float32, torch.float64), (torch.bfloat16, torch.float16)


@full_precision
def loss(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    given: dict[str, Any],
    how: How,
) -> Float[Tensor, ""] | None:
    """The loss of queries and keys; `None` if it takes another way.

    Args:
        queries: as for `info_nce`.
        keys: likewise.
        given: the options of `info_nce` that state the problem.
        how: the reduction "none" takes another way, and so do the engine "tiled", and "auto" for many scores.

    Raises:
        TypeError, ValueError: as `LineUp.build` does.

    >>> loss(torch.eye(2), torch.eye(2), {"temperature": 1.0}, How(symmetric=True))
    tensor(0.3133)
    """
    symmetric = how.symmetric
    # What is wrong with arguments is told elsewhere.
    if not isinstance(queries, Tensor) or is_traced(queries):
        return None
    if how.reduction == "none" or not _is_plain(queries, keys, given, symmetric, how.engine):
        return None
    score = scores.resolve(given.get("score", "cosine"))
    exclude = given.get("exclude")
    positives = checked(queries, keys, given.get("positives"), exclude, 0.0, score, ALONE)
    n, m = queries.shape[0], keys.shape[0]
    if exclude is not None and not never_meet(positives, exclude):
        return None
    turned, cols = positives.turned(n, m), None
    if turned is None:
        pairs = positives.pairs(n, m, queries.device)
        if pairs is None or not pairs.one_each:
            return None
        cols = pairs.cols[:, None]
    temperature = as_temperature(given.get("temperature", TEMPERATURE), n)
    if isinstance(temperature, Tensor) and temperature.ndim:
        return None
    own, others, further = _vectors(queries, keys, given.get("negatives"), score)
    mirrored = others is own and further is None and not symmetric and are_symmetric(positives, exclude)
    share = (1.0 if how.reduction == "sum" else 1 / n) * (0.5 if symmetric else 1.0)
    problem = _Problem(positives, exclude, m, turned, cols, symmetric, mirrored, how.reduction, share)
    if isinstance(temperature, Tensor):
        # A copy, for the number may be changed in place before backward.
        temperature = temperature.to(own.device, own.dtype if own.dtype in _WIDE else torch.float32, copy=True)
    vectors = own, None if mirrored else others, further
    value: Tensor = _Whole.apply(*vectors, temperature, problem, torch.is_grad_enabled())
    return value


def _is_plain(queries: Tensor, keys: Tensor, given: dict[str, Any], symmetric: bool, engine: str) -> bool:
    """Whether options, and sizes and kinds of tensors, are such as this way takes."""
    negatives, positives, tau = given.get("negatives"), given.get("positives"), given.get("temperature")
    tensors = [queries, keys] if negatives is None else [queries, keys, negatives]
    if not all(isinstance(x, Tensor) and x.ndim == 2 for x in tensors) or keys.dtype != queries.dtype:
        return False
    if queries.dtype not in _WIDE and (queries.dtype not in _HALF or tensors[-1].dtype != queries.dtype):
        return False
    n, *sizes = (x.shape[0] for x in tensors)
    is_short = not symmetric and keys is not queries and not isinstance(tau, Tensor)
    if queries.is_cpu and is_short and n * sum(sizes) <= TINY:
        return False
    if positives is None:
        is_listed = n <= sizes[0]
    else:
        is_listed = isinstance(positives, Relation) and positives.listed and (positives.diagonal or not symmetric)
    return (
        is_listed
        and (n == sizes[0] or not symmetric)
        and not given.get("margin")
        and given.get("key_bias") is None
        and given.get("exclude_negatives") is None
        and not (isinstance(tau, Tensor) and tau.numel() != 1)
        and is_whole(n, sum(sizes), queries.device, engine)
    )


def _vectors(
    queries: Tensor, keys: Tensor, negatives: Tensor | None, score: Score
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Queries and candidates with the scores as products; the third, if given, are candidates behind the second."""
    is_one = keys is queries
    if queries.dtype in _HALF and not (score is scores.dot and _stays_half(queries)):
        queries = queries.float()
        keys = queries if is_one else keys.float()
    if not is_one and not isinstance(score, torch.nn.Module):
        same_width("keys", keys, queries)
    if negatives is not None:
        negatives = checked_negatives(negatives, queries, keys, score)
    if score is scores.dot:
        return queries, keys, negatives
    own, others, _ = folded(product_with(queries, keys, negatives, score), 1.0, None)
    return own, others, None


class _Problem(NamedTuple):
    """What is constant."""

    positives: Relation
    exclude: Relation | None
    m: int
    turned: int | None
    """See `Relation.turned`; else each query's positive is given by its column."""
    cols: Int[Tensor, "n 1"] | None
    symmetric: bool
    mirrored: bool
    """Whether keys are the queries, so that the gradient of the scores is that of a symmetric matrix."""
    reduction: str
    share: float
    """Of a query's, or key's, loss in the whole."""

    def at_positives(self, matrix: Float[Tensor, "n c"]) -> Tensor:
        """The entries of a matrix at the positives: a view, or a copy of `cols`."""
        if self.cols is not None:
            return matrix.gather(1, self.cols)
        if not self.turned:
            return matrix.diagonal()
        # Half of the rows are related to the other half, and these to them.
        half, width = self.turned, matrix.shape[1]
        return matrix.as_strided((2, half), (half * (width - 1), width + 1), half)

    def losses(self, logits: Float[Tensor, "n c"], with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """The loss, and its gradient with respect to the logits, divided by the share.

        That of `mirrored` logits is added to its transpose, as it is that of vectors on both sides.
        """
        if self.symmetric:
            total, gradient = both_ways(logits, self.m, with_gradient=with_gradient)
            return self._loss(total), gradient
        by_row = logits.log_softmax(dim=1)
        found = self.at_positives(by_row)
        value = self._loss(found.sum())
        if not with_gradient:
            return value, None
        # As in `both_ways`.
        gradient = torch.softmax(logits, dim=1, out=by_row)
        if self.cols is None:
            found.sub_(1)  # in place of the logarithms the gradient stands now
        else:
            gradient.scatter_(1, self.cols, gradient.gather(1, self.cols).sub_(1))
        return value, gradient + gradient.T if self.mirrored else gradient

    def _loss(self, total: Float[Tensor, ""]) -> Float[Tensor, ""]:
        return torch.rsub(total, 0.0, alpha=self.share)  # 0 − 0 is 0, and 0 · −1 would be −0


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor | None,
        further: Tensor | None,
        temperature: float | Tensor,
        problem: _Problem,
        with_gradient: bool,
    ) -> Tensor:
        own = queries if keys is None else keys
        candidates = own if further is None else torch.cat([own, further])
        logits = _logits(queries, candidates, temperature)
        is_half, needs = queries.dtype in _HALF, ctx.needs_input_grad
        if problem.exclude is not None:
            # The gradient of a temperature is summed with products that are finite.
            value = MASKED if not is_half else torch.finfo(logits.dtype).min / 2
            logits = masked(logits, problem.exclude, problem.m, value)
        loss, of_logits = problem.losses(logits, with_gradient and any(needs))
        moment = logits.mul_(of_logits).sum() if is_half and needs[3] and of_logits is not None else None
        is_learned = isinstance(temperature, Tensor)
        ctx.problem, ctx.tau = problem, None if is_learned else temperature
        ctx.n_own, ctx.is_one = len(own), keys is None
        alone = keys if needs[1] else None, further if needs[2] else None  # see `double_backward.cut`
        learned = temperature if is_learned else None
        combined = None if candidates is queries else candidates
        ctx.save_for_backward(queries, *alone, learned, combined, of_logits, moment)
        return loss

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, further, learned, candidates, of_logits, moment = ctx.saved_tensors
        problem, needs = ctx.problem, ctx.needs_input_grad
        if torch.is_grad_enabled():
            inputs = queries, *cut(candidates, ctx.n_own, keys, further, is_one=ctx.is_one), learned
            return *of_loss(partial(_again, ctx), inputs, needs[:4], gradient), *_CONSTANTS
        candidates = queries if candidates is None else candidates
        scale = gradient * (problem.share / ctx.tau) if learned is None else gradient * problem.share / learned
        # Nothing is written in place here: the upstream gradient may be a batch of several.
        of_products = (of_logits * scale).to(queries.dtype)
        of_queries = of_keys = of_further = of_temperature = None
        if needs[0] or (needs[3] and moment is None):
            of_queries = _product(of_products, candidates)
        if needs[3]:
            once = -0.5 if problem.mirrored else -1.0
            of_temperature = (moment * scale if moment is not None else (of_queries * queries).sum() / learned) * once
        if needs[1] or needs[2]:
            is_all = needs[2] or len(candidates) == ctx.n_own
            part = of_products if is_all else of_products[:, : ctx.n_own]
            of_keys = _product(part.T, queries).to(queries.dtype)
            if needs[2]:
                of_keys, of_further = of_keys[: problem.m], of_keys[problem.m :]
        return (
            None if of_queries is None or not needs[0] else of_queries.to(queries.dtype),
            of_keys if needs[1] else None,
            *(of_further, of_temperature),
            *_CONSTANTS,
        )


_CONSTANTS = (None,) * 2


def _stays_half(vectors: Tensor) -> bool:
    """Whether vectors are multiplied as they are: float16 would not hold what small losses have for a gradient."""
    return vectors.dtype == torch.bfloat16 and vectors.is_cuda


def _logits(queries: Tensor, candidates: Tensor, temperature: float | Tensor) -> Float[Tensor, "n c"]:
    if queries.dtype in _HALF:
        return _product(queries, candidates.T).div_(temperature)
    return _product(queries / temperature, candidates.T)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """A product with sums in float32 at least, and not rounded to the dtype of half factors."""
    return torch.mm(left, right, out_dtype=torch.float32) if left.dtype in _HALF else left @ right


def _again(
    ctx: Any, queries: Tensor, keys: Tensor | None, further: Tensor | None, learned: Tensor | None
) -> Float[Tensor, ""]:
    """The same loss by autograd."""
    problem, own = ctx.problem, queries if keys is None else keys
    if len(own) > problem.m:
        own, further = own[: problem.m], own[problem.m :]
    line_up = LineUp.build(
        queries,
        own,
        positives=problem.positives,
        exclude=problem.exclude,
        negatives=further,
        temperature=ctx.tau if learned is None else learned,
        score="dot",
        engine="dense",
    )
    return dispatch.evaluate(line_up, symmetric=problem.symmetric, engine="dense").loss(problem.reduction)
