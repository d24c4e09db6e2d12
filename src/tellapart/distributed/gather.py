"""Gathers and sums over processes, with their exact gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from tellapart._engine.ring import Ring
from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped
    from torch.distributed import ProcessGroup


def world() -> ProcessGroup | None:
    """The group of all processes that were started together, or `None` if there is only one.

    >>> world() is None
    True
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return None
    return dist.group.WORLD


def gather(rows: Shaped[Tensor, "n *shape"], group: ProcessGroup | None = None) -> Shaped[Tensor, "all *shape"]:
    """The rows of all processes, in the order of their ranks, with their exact gradient.

    The gradient of a row is the sum of its gradients in all processes. Processes may have different numbers of rows,
    or none.

    Raises:
        ValueError: rows of different widths or dtypes, or that need a gradient in some processes only. All processes
            raise it.

    >>> gather(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    group = world() if group is None else group
    if group is None:
        return rows
    ring = Ring(group)
    needs = [bool(need) for (need,) in ring.numbers(rows.requires_grad and torch.is_grad_enabled())]
    if len(set(needs)) > 1:  # a process without a gradient would be missing from the backward exchange
        raise ValueError(requirement("rows", "need a gradient in all processes or in none", needs))
    result: Tensor = _Gather.apply(rows, ring)
    return result


def sum_over(values: Float[Tensor, "*shape"], group: ProcessGroup | None = None) -> Float[Tensor, "*shape"]:
    """The sum over processes of tensors of one shape, entry by entry, with its exact gradient.

    >>> sum_over(torch.ones(2))
    tensor([1., 1.])
    """
    group = world() if group is None else group
    if group is None:
        return values
    result: Tensor = _Sum.apply(values, Ring(group))
    return result


def share(rows: Shaped[Tensor, "all *shape"], group: ProcessGroup | None = None) -> Shaped[Tensor, "n *shape"]:
    """This rank's part of rows that all processes have: every row goes to exactly one rank.

    >>> share(torch.arange(3))
    tensor([0, 1, 2])
    """
    group = world() if group is None else group
    return rows if group is None else rows[dist.get_rank(group) :: dist.get_world_size(group)]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, ring: Ring) -> Tensor:
        ctx.ring = ring
        return ring.total(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.ring.total(gradient), None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, ring: Ring) -> Tensor:
        shards = ring.gather(rows)
        ctx.ring, ctx.lengths = ring, [len(shard) for shard in shards]
        return torch.cat(shards)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.ring.home([part.contiguous() for part in gradient.split(ctx.lengths)]), None
