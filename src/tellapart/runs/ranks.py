"""Which of several processes that train together this one is, by what launchers leave in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch.distributed as dist

_PATIENCE = timedelta(days=30)  # processes wait for the slowest, which may have much to do


def is_first_process() -> bool:
    """Whether this process is the one that writes: of several that train together, the first."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def forget_stray_rank() -> str | None:
    """Drop a rank that no launcher set, as one left over in a shell: the variable, or `None`.

    Those that start processes, Lightning, torchrun and SLURM, say how many there are, too.
    """
    rank = os.environ.get("LOCAL_RANK")
    if rank in (None, "0") or {"WORLD_SIZE", "MASTER_ADDR", "SLURM_NTASKS"} & set(os.environ):
        return None
    del os.environ["LOCAL_RANK"]
    return f"LOCAL_RANK={rank}"


class Processes(NamedTuple):
    """Which of the processes that do something together this one is, and how many there are."""

    rank: int
    size: int

    def wait(self) -> None:
        """Return when all of them have called this."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def together() -> Iterator[Processes]:
    """The processes that `torchrun` started, or this one alone.

    >>> with together() as us:
    ...     us
    Processes(rank=0, size=1)
    """
    if dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
        return
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(os.environ):
        yield Processes(0, 1)
        return
    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
