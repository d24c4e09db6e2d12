"""What is computed while keys travel round a ring of processes, forward and, for the gradient, once more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tellapart._engine.crowd import Crowd, Tops
from tellapart._engine.stream import grid_for
from tellapart._engine.travel import Ring
from tellapart._engine.walk import LogSum, Shares, Walk
from tellapart.relations import Relation

if TYPE_CHECKING:
    from jaxtyping import Float

_NEVER = float("-inf")


class Shards(NamedTuple):
    """Keys divided among processes: how many each has, and whom of them this process's queries meet."""

    ring: Ring
    sizes: list[int]
    crowds: list[Crowd]


class Watch:
    """The best positive's and the hardest negative's logit of each query and, with `columns`, of each key."""

    def __init__(self, positives: list[Relation], columns: bool) -> None:
        self.positives, self.columns = positives, columns

    def begin(self, n: int, m: int, like: Tensor) -> None:
        """Prepare for a trip of the keys."""
        self.rows, self.travelling = (like.new_full((size, 2), _NEVER) for size in (n, m))

    def at(self, owner: int) -> Tops:
        """What looks at the keys of one process."""
        return Tops(self.positives[owner], self.columns)

    def add(self, tops: Tops) -> None:
        """Add what it saw."""
        for kept, side in ((self.rows, 0), (self.travelling, 1)):
            torch.maximum(kept, torch.stack([tops.positive[side], tops.negative[side]], dim=1), out=kept)

    def of_negatives(self) -> Tops:
        """What looks at candidates that are nobody's positive."""
        return Tops((), columns=False)

    def see(self, negative: Float[Tensor, " n"]) -> None:
        """Add the hardest of further negatives."""
        torch.maximum(self.rows[:, 1], negative, out=self.rows[:, 1])

    def tops(self) -> tuple[list[Tensor], list[Tensor]]:
        """The best positives' and the hardest negatives' logits of both sides."""
        return [x[:, 0] for x in (self.rows, self.travelling)], [x[:, 1] for x in (self.rows, self.travelling)]


def log_partition(
    queries: Float[Tensor, "n e"],
    keys: Float[Tensor, "m e"],
    scale: float | Float[Tensor, ""],
    shards: Shards,
    references: list[Float[Tensor, " n"]],
    watch: Watch | None = None,
) -> list[Float[Tensor, " n"]]:
    """`stream.log_partition` over all processes' keys and, with a second reference, of one's keys over all queries.

    >>> import torch.distributed as dist
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> shards = Shards(Ring(dist.group.WORLD), [3], [Crowd(2, 3, 3)])
    >>> log_partition(torch.zeros(2, 1), torch.zeros(3, 1), 1.0, shards, [torch.zeros(2)])[0].exp().round()
    tensor([3., 3.])
    >>> dist.destroy_process_group()
    """
    return list(_RoundTrip.apply(queries, keys, scale, shards, watch, *references))


def related_sum(
    keys: Float[Tensor, "m d"], relations: list[Relation], ring: Ring, sizes: list[int], n: int
) -> Float[Tensor, "n d"]:
    """Each of n queries' weighted sum of its related keys in all processes, `Σ_s W_s K_s`.

    >>> import torch.distributed as dist
    >>> from tellapart.relations import everyone
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> related_sum(torch.eye(2), [everyone()], Ring(dist.group.WORLD), [2], 1)
    tensor([[1., 1.]])
    >>> dist.destroy_process_group()
    """
    result: Tensor = _RelatedSum.apply(keys, relations, ring, sizes, n)
    return result


class _RoundTrip(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        scale: float | Tensor,
        shards: Shards,
        watch: Watch | None,
        *references: Tensor,
    ) -> tuple[Tensor, ...]:
        ring, sizes = shards.ring, shards.sizes
        bounded = _is_bounded(queries, keys, float(scale), shards)
        rows, cols = (LogSum(size, queries, bounded) for size in (len(queries), len(keys)))
        if watch is not None:
            watch.begin(len(queries), len(keys), queries)
        visiting = keys
        for owner, comer in ring.owners():
            arriving = ring.pass_on(visiting, sizes[comer])
            tops = None if watch is None else watch.at(owner)
            walk = _walk(queries, visiting, scale, shards.crowds[owner], bounded, tops)
            if walk is not None:
                for tile in walk.grid.tiles():
                    walk.count(walk.scores(tile), tile, rows, cols if len(references) == 2 else None)
                if watch is not None and tops is not None:
                    watch.add(tops)
            if len(references) == 2:
                sums = torch.stack([cols.total, cols.top], dim=1)
                cols.total, cols.top = ring.pass_on(sums, sizes[comer])().unbind(1)
                cols.total, cols.top = cols.total.contiguous(), cols.top.contiguous()
            if watch is not None:
                watch.travelling = ring.pass_on(watch.travelling, sizes[comer])()
            visiting = arriving()
        ctx.shards, ctx.bounded, ctx.sums = shards, bounded, (rows, cols)
        ctx.scale = None if isinstance(scale, Tensor) else scale
        ctx.save_for_backward(queries, keys, scale if isinstance(scale, Tensor) else None)
        return tuple(sums.log(minus) for sums, minus in zip((rows, cols), references, strict=False))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, scale = ctx.saved_tensors
        scale, shards = ctx.scale if scale is None else scale, ctx.shards
        ring, sizes, (rows, cols), width = shards.ring, shards.sizes, ctx.sums, keys.shape[1]
        of_rows = Shares.of(gradients[0], rows)
        visiting = keys
        if len(gradients) == 2:
            of_cols = Shares.of(gradients[1], cols)
            visiting = torch.cat([keys, of_cols.factor[:, None], of_cols.log[:, None]], dim=1)
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[2], ctx.needs_input_grad[1]
        to_queries, to_keys = (
            torch.zeros_like(x) if want else None for x, want in zip((queries, keys), wanted, strict=True)
        )
        with torch.autocast(queries.device.type, enabled=False):
            for owner, comer in ring.owners():
                arriving = ring.pass_on(visiting, sizes[comer])
                walk = _walk(queries, visiting[:, :width], scale, shards.crowds[owner], ctx.bounded, None)
                theirs = None
                if len(gradients) == 2:
                    theirs = Shares(visiting[:, width], visiting[:, width + 1], ctx.bounded)
                if walk is not None:
                    for tile in walk.grid.tiles():
                        shares = walk.shares(walk.scores(tile), tile, of_rows, theirs)
                        walk.spread(shares, tile, [to_queries, to_keys], queries)
                if to_keys is not None:
                    to_keys = ring.pass_on(to_keys, sizes[comer])()
                visiting = arriving()
            of_scale = None
            if ctx.needs_input_grad[2] and to_queries is not None:
                of_scale = torch.dot(queries.flatten(), to_queries.flatten()) / scale
        return to_queries, to_keys, of_scale, *(None,) * (2 + len(gradients))


class _RelatedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, keys: Tensor, relations: list[Relation], ring: Ring, sizes: list[int], n: int) -> Tensor:
        ctx.relations, ctx.ring, ctx.sizes = relations, ring, sizes
        result = keys.new_zeros(n, keys.shape[1])
        for owner, comer in ring.owners():
            arriving = ring.pass_on(keys, sizes[comer])
            if n and len(keys):
                result += relations[owner].gather_sum(keys, n)
            keys = arriving()
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        ring, sizes = ctx.ring, ctx.sizes
        travelling = gradient.new_zeros(sizes[ring.rank], gradient.shape[1])
        for owner, comer in ring.owners():
            if len(gradient) and len(travelling):
                travelling += ctx.relations[owner].transposed().gather_sum(gradient, sizes[owner])
            travelling = ring.pass_on(travelling, sizes[comer])()
        return travelling, None, None, None, None


def _walk(
    queries: Tensor, keys: Tensor, scale: float | Tensor, crowd: Crowd, bounded: bool, tops: Tops | None
) -> Walk | None:
    """The tiles of one's queries and one process's keys, if there are any."""
    if not len(queries) or not len(keys):
        return None
    return Walk(queries, keys, float(scale), grid_for(crowd, queries), bounded=bounded, tops=tops)


def _is_bounded(queries: Tensor, keys: Tensor, scale: float, shards: Shards) -> bool:
    """`stream`'s question, asked of all processes' vectors: sums of one kind can be handed on."""
    longest = [float(torch.linalg.vector_norm(x, dim=1).amax()) if len(x) else 0.0 for x in (queries, keys)]
    weighed = any(crowd.is_weighed() for crowd in shards.crowds)
    told = shards.ring.numbers(*longest, scale, weighed, len(queries))
    if any(theirs[3] for theirs in told):
        return False
    q, k, s = (max(theirs[i] for theirs in told) for i in (0, 1, 2))
    largest = max(sum(shards.sizes), sum(theirs[4] for theirs in told))
    return s * q * k + math.log(max(largest, 1)) < 0.68 * math.log(torch.finfo(queries.dtype).max)
