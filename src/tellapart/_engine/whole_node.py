"""The loss of a whole matrix with one positive each as a single node of autograd.

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

from tellapart._engine import dispatch
from tellapart._engine.cross_entropy import masked
from tellapart._engine.double_backward import cut, of_loss
from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import LineUp
from tellapart.relations import Relation

if TYPE_CHECKING:
    from jaxtyping import Float, Int

HALF = (torch.bfloat16, torch.float16)


class Problem(NamedTuple):
    """What is constant."""

    positives: Relation
    exclude: Relation | None
    n: int
    m: int
    turned: int | None
    """See `Relation.turned`; else each query's positive is given by its column."""
    cols: Int[Tensor, "n 1"] | None
    symmetric: bool
    mirrored: bool
    """Whether keys are the queries, so that the gradient of the scores is that of a symmetric matrix."""
    reduction: str

    @property
    def share(self) -> float:
        """Of a query's, or key's, loss in the whole."""
        return (1.0 if self.reduction == "sum" else 1 / self.n) * (0.5 if self.symmetric else 1.0)

    def logits(
        self, queries: Float[Tensor, "n d"], candidates: Float[Tensor, "c d"], temperature: float | Tensor
    ) -> Float[Tensor, "n c"]:
        """The logits; those of excluded candidates are the floor."""
        if queries.dtype in HALF:
            logits = _product(queries, candidates.T).div_(temperature)
        else:
            logits = _product(queries / temperature, candidates.T)
        return logits if self.exclude is None else masked(logits, self.exclude, self.m, self.floor(queries))

    @staticmethod
    def floor(queries: Tensor) -> float:
        """The logit of an excluded candidate.

        Of half queries the gradient of a temperature is summed with products of logits, which have to be finite.
        """
        return torch.finfo(torch.float32).min / 2 if queries.dtype in HALF else MASKED

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
        by_row = logits.log_softmax(dim=1)
        found = self.at_positives(by_row)
        by_col = None
        if self.symmetric:
            by_col = logits[:, : self.m].log_softmax(dim=0) if self.m < logits.shape[1] else logits.log_softmax(dim=0)
            total = torch.add(found, self.at_positives(by_col)).sum()
        else:
            total = found.sum()
        value = torch.rsub(total, 0.0, alpha=self.share)  # 0 − 0 is 0, and 0 · −1 would be −0
        if not with_gradient:
            return value, None
        # On a CPU the softmax anew takes less time than the exponential of what is at hand.
        gradient = torch.softmax(logits, dim=1, out=by_row)
        if by_col is not None:
            (gradient if self.m == logits.shape[1] else gradient[:, : self.m]).add_(by_col.exp_())
        times = 2 if self.symmetric else 1
        if self.cols is None:
            found.sub_(times)  # in place of the logarithms the gradient stands now
        else:
            gradient.scatter_(1, self.cols, gradient.gather(1, self.cols).sub_(times))
        return value, gradient + gradient.T if self.mirrored else gradient


class Whole(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor | None,
        further: Tensor | None,
        temperature: float | Tensor,
        problem: Problem,
        with_gradient: bool,
        logits: Tensor | None,
    ) -> Tensor:
        own = queries if keys is None else keys
        candidates = own if further is None else torch.cat([own, further])
        logits = problem.logits(queries, candidates, temperature) if logits is None else logits
        is_half, needs = queries.dtype in HALF, ctx.needs_input_grad
        loss, of_logits = problem.losses(logits, with_gradient and any(needs))
        moment = (logits * of_logits).sum() if is_half and needs[3] and of_logits is not None else None
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


_CONSTANTS = (None,) * 3


def _product(left: Tensor, right: Tensor) -> Tensor:
    """A product with sums in float32 at least, and not rounded to the dtype of half factors."""
    return torch.mm(left, right, out_dtype=torch.float32) if left.dtype in HALF else left @ right


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
