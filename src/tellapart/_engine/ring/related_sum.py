"""Weighted sums of related keys that are spread over ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tellapart.relations import Relation

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart._engine.ring.comm import Ring


def related_sum(
    ring: Ring, keys: Float[Tensor, "m d"], relations: list[Relation], sizes: list[int], n: int
) -> Float[Tensor, "n d"]:
    """Each of n queries' weighted sum of its related keys of all ranks, `Σ_r W_r K_r`.

    >>> import torch
    >>> import torch.distributed as dist
    >>> from tellapart._engine.ring.comm import Ring
    >>> from tellapart.relations import everyone
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> related_sum(Ring(dist.group.WORLD), torch.eye(2), [everyone()], [2], 1)
    tensor([[1., 1.]])
    >>> dist.destroy_process_group()
    """
    result: Tensor = _RelatedSum.apply(keys, relations, ring, sizes, n)
    return result


class _RelatedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, keys: Tensor, relations: list[Relation], ring: Ring, sizes: list[int], n: int) -> Tensor:
        ctx.relations, ctx.ring, ctx.sizes = relations, ring, sizes
        result = keys.new_zeros(n, keys.shape[1])
        for owner, following in ring.owners():
            arriving = ring.pass_on(keys, sizes[following])
            if n and len(keys):
                result += relations[owner].gather_sum(keys, n)
            keys = arriving()
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        ring, sizes = ctx.ring, ctx.sizes
        travelling = gradient.new_zeros(sizes[ring.rank], gradient.shape[1])
        for owner, following in ring.owners():
            if len(gradient) and len(travelling):
                travelling += ctx.relations[owner].transposed().gather_sum(gradient, sizes[owner])
            travelling = ring.pass_on(travelling, sizes[following])()
        return travelling, None, None, None, None
