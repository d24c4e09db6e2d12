"""Listed pairs of a query and a key: their products, and sums of exponentials over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart._engine.factors import Halves, widened

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart.relations import Pairs

# Pairs gathered at a time on a CPU, and numbers of their vectors elsewhere: some MiB.
_STEP, _NUMBERS = 1024, 2**22


def pair_products(
    queries: Float[Tensor, "n e"], keys: Float[Tensor, "c e"], pairs: Pairs, halves: Halves | None = None
) -> tuple[Float[Tensor, " p"], Float[Tensor, "n e"], Float[Tensor, "c e"]]:
    """Each pair's product, and the vectors again, to be used from there on.

    The gradients of what is done with them come back this way, and that of the pairs is added in place. With `halves`
    these are the vectors, and `queries` and `keys` their carriers.

    >>> from tellapart.relations import paired
    >>> pair_products(torch.eye(2), torch.eye(2), paired().pairs(2, 2))[0]
    tensor([1., 1.])
    """
    vectors = Halves(queries.detach(), keys.detach()) if halves is None else halves
    values, queries, keys = _PairProducts.apply(queries, keys, *vectors, pairs.rows, pairs.cols, pairs.diagonal)
    return values, queries, keys


class _PairProducts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        of_queries: Tensor,
        of_keys: Tensor,
        rows: Tensor,
        cols: Tensor,
        diagonal: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        values = queries.new_empty(len(rows))
        for part, q, k in _parts(of_queries, of_keys, rows, cols, diagonal, values.dtype):
            torch.sum(q * k, dim=1, out=values[part])
        ctx.save_for_backward(queries, keys, of_queries, of_keys, rows, cols)
        ctx.diagonal = diagonal
        ctx.set_materialize_grads(False)
        return values, queries.view_as(queries), keys.view_as(keys)

    @staticmethod
    def backward(
        ctx: Any, values_grad: Tensor | None, queries_grad: Tensor | None, keys_grad: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        queries, keys, of_queries, of_keys, rows, cols = ctx.saved_tensors
        if values_grad is None:
            return queries_grad, keys_grad, *(None,) * 5
        if torch.is_grad_enabled():
            if of_queries.dtype != queries.dtype:
                queries, keys = widened(queries, of_queries), widened(keys, of_keys)
            to_queries = torch.zeros_like(queries).index_add(0, rows, values_grad[:, None] * keys[cols])
            to_keys = torch.zeros_like(keys).index_add(0, cols, values_grad[:, None] * queries[rows])
            return _sum(to_queries, queries_grad), _sum(to_keys, keys_grad), *(None,) * 5
        # The streamed reduction made these gradients for this place: nothing else reads them.
        to = [
            (x.new_zeros(x.shape) if gradient is None else gradient) if needed else None
            for x, gradient, needed in zip(
                (queries, keys), (queries_grad, keys_grad), ctx.needs_input_grad[:2], strict=True
            )
        ]
        for part, q, k in _parts(of_queries, of_keys, rows, cols, ctx.diagonal, queries.dtype):
            for into, where, others in zip(to, (rows, cols), (k, q), strict=True):
                if into is None:
                    continue
                if ctx.diagonal:
                    into[part].addcmul_(others, values_grad[part, None])
                else:
                    into.index_add_(0, where[part], others * values_grad[part, None])
        return to[0], to[1], *(None,) * 5


def _parts(
    queries: Tensor, keys: Tensor, rows: Tensor, cols: Tensor, diagonal: bool, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """The vectors of some pairs at a time; those of a diagonal need not be gathered."""
    step = _STEP if queries.device.type == "cpu" else max(_STEP, _NUMBERS // max(1, queries.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, min(start + step, len(rows)))
        places = (part, part) if diagonal else (rows[part], cols[part])
        yield part, queries[places[0]].to(dtype), keys[places[1]].to(dtype)


def _sum(gradient: Tensor, other: Tensor | None) -> Tensor:
    return gradient if other is None else gradient + other


def segment_sum(values: Float[Tensor, " p"], rows: Int[Tensor, " p"], n: int) -> Float[Tensor, " n"]:
    """`Σ_{p: rows_p = i} v_p`.

    >>> segment_sum(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2, 2]), 3)
    tensor([1., 0., 5.])
    """
    return values.new_zeros(n).index_add(0, rows, values)


def segment_logsumexp(values: Float[Tensor, " p"], rows: Int[Tensor, " p"], n: int) -> Float[Tensor, " n"]:
    """`log Σ_{p: rows_p = i} exp v_p`; −∞, and a gradient of zero, where there is no p.

    >>> segment_logsumexp(torch.tensor([0.0, 0.0]), torch.tensor([1, 1]), 2)
    tensor([  -inf, 0.6931])
    """
    top = torch.full((n,), float("-inf"), dtype=values.dtype, device=values.device)
    top = top.scatter_reduce(0, rows, values.detach(), "amax")
    none = top == float("-inf")
    top = top.masked_fill(none, 0)
    total = segment_sum((values - top[rows]).exp(), rows, n)
    return (total.masked_fill(none, 1).log() + top).masked_fill(none, float("-inf"))


def log_add(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """`log(exp a + exp b)`, with derivatives of any order where one of them is −∞, too.

    >>> log_add(torch.tensor([0.0, float("-inf")]), torch.tensor([0.0, 2.0]))
    tensor([0.6931, 2.0000])
    """
    no_a, no_b = a == float("-inf"), b == float("-inf")
    either = no_a | no_b
    both = torch.logaddexp(a.masked_fill(either, 0), b.masked_fill(either, 0))
    return torch.where(no_b, a, torch.where(no_a, b, both))
