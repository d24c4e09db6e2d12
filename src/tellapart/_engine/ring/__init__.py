"""One loss over many processes: queries stay with their rank, keys travel round with their sums and gradients.

Of embeddings a rank holds its own, those that visit and those that arrive, with as many gradients; of ids, those of all
keys. With A queries that have a positive, over all W ranks, the loss of rank r is

    ℓ_r = W/A · Σ_{i of rank r} L_i

so that the mean of ℓ over ranks, and the mean of its gradients, which data-parallel training takes, are those of one
process with all rows: of uneven shards, the last batch and an empty shard, too.
"""

from tellapart._engine.ring.comm import Ring
from tellapart._engine.ring.shards import build_together

__all__ = ["Ring", "build_together"]
