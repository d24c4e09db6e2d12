"""One loss over the batches of many processes.

    group = distributed.world()
    loss = info_nce(queries, keys, positives=same(ids), symmetric=True, group=group)

Each process passes its own rows, and relations among them. Data-parallel training takes the mean over processes of
losses and gradients. This mean is exactly that of one process with all rows, for embeddings and temperature.
Processes may have different numbers of rows, and no gradient needs rescaling.

`info_nce(group=...)` passes keys around a ring of processes, so that none holds more than a few shards.
`gather` returns the rows of all processes, for any other computation. `share` takes a process's part of rows that
all have. `check_distributed` tests whether a loss has the value and gradients of one process.
"""

from tellapart.distributed.batch_norm import SharedBatchNorm, fused_batch_norm, share_batch_norm
from tellapart.distributed.check import Verdict, check_distributed
from tellapart.distributed.gather import gather, share, sum_over, world

__all__ = [
    "SharedBatchNorm",
    "Verdict",
    "check_distributed",
    "fused_batch_norm",
    "gather",
    "share",
    "share_batch_norm",
    "sum_over",
    "world",
]
