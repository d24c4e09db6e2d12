"""Room for many numbers at once, of large pages where the system has them.

A page costs time when it is first touched: filling fresh small ones takes about as long as a product that fills them.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

# Below this size there is little to gain, and torch reuses what was freed.
_LEAST_BYTES = 2**25


def room_for(size: int, like: Tensor) -> Float[Tensor, " size"]:
    """An empty vector of so many numbers of the dtype and on the device of `like`.

    >>> room_for(3, torch.ones(1)).shape
    torch.Size([3])
    """
    n_bytes = size * like.element_size()
    if like.device.type != "cpu" or n_bytes < _LEAST_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return like.new_empty(size)
    pages = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel that was built without large pages
        pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=like.dtype)
