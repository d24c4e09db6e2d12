"""This rank's part of the problem, stated such that all ranks agree."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart import scores
from tellapart._engine.problem import LineUp
from tellapart._engine.ring.comm import Ring
from tellapart.errors import check_vectors

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from tellapart.scores import Score


def build_together(
    group: ProcessGroup, queries: Tensor, keys: Tensor, *, score: str | Score = "cosine", **options: Any
) -> LineUp:
    """`LineUp.build` of one rank's part; an error of one rank is raised in all of them.

    >>> import torch.distributed as dist
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> build_together(dist.group.WORLD, torch.eye(2), torch.eye(2)).comm.size
    1
    >>> dist.destroy_process_group()
    """
    ring = Ring(group)
    with ring.together():
        check_vectors("queries", queries, empty=True)
        check_vectors("keys", keys, empty=True)
        resolved = scores.resolve(score)
    if resolved is scores.sqeuclidean:
        exact = keys.detach().to(torch.promote_types(keys.dtype, torch.float32))
        sums = ring.gather(torch.cat([exact.sum(0), exact.new_tensor([len(keys)])])[None])
        total = torch.cat(sums).sum(0)
        score = partial(scores.sqeuclidean, origin=total[:-1] / total[-1].clamp(min=1))
    with ring.together():
        return LineUp.build(queries, keys, score=score, comm=ring, **options)
