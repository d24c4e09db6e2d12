"""Which of several processes that train together this one is, by what launchers leave in the environment."""

from __future__ import annotations

import os


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
