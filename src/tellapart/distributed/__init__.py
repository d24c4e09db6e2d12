"""One line-up over many processes.

    group = distributed.world()
    loss = info_nce(queries, keys, positives=same(ids), symmetric=True, group=group)

Each process hands in its own rows and relations among them. The mean over processes of the losses, and of
their gradients, which is what data-parallel training takes, is that of one process with everybody's rows,
for embeddings and temperature alike, however unevenly the rows are divided. Nobody multiplies by anything.

`info_nce(group=...)` lets keys travel from process to process, so that none holds more than a few shards.
`gather` hands everybody's rows to all, for whatever else is to be computed of them, `share` is one's own part of
what all have, and `check_distributed` says whether a loss keeps the promise.
"""

from tellapart.distributed.batch_norm import SharedBatchNorm, share_batch_norm
from tellapart.distributed.check import Verdict, check_distributed
from tellapart.distributed.gather import gather, share, sum_over, world

__all__ = [
    "SharedBatchNorm",
    "Verdict",
    "check_distributed",
    "gather",
    "share",
    "share_batch_norm",
    "sum_over",
    "world",
]
