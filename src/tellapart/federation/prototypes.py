"""Prototypes: what a client can share in place of keys of single examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tellapart.evaluation import grouped
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def prototypes(keys: Float[Tensor, "n d"], most: int, seed: int) -> Float[Tensor, "k d"]:
    """The directions of the means of groups of keys, which k-means finds.

    There are `most` at most, and no more than half as many as keys. A group of a single key is left out: its mean
    is that key.

    Args:
        keys: of length 1, of at least two examples.
        most: how many prototypes at most.
        seed: for the start of k-means.

    Source: Li et al. 2021 (PCL, https://arxiv.org/abs/2005.04966), §3.2, for prototypes among the candidates; Tan et
    al. 2022 (FedProto, https://arxiv.org/abs/2105.00243), for clients that share them.

    >>> import torch
    >>> keys = torch.tensor([[1.0, 0.0], [0.8, 0.6], [-1.0, 0.0], [-0.8, 0.6]])
    >>> prototypes(keys, most=4, seed=0)
    tensor([[-0.9487,  0.3162],
            [ 0.9487,  0.3162]])
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # several threads add in an order that changes, and with it the last bits
        groups = grouped(keys, n_clusters=max(1, min(most, len(keys) // 2)), seed=seed, starts=1)
    sizes = groups.bincount()
    sums = keys.new_zeros(len(sizes), keys.shape[1]).index_add(0, groups, keys)
    return unit(sums[sizes > 1])
