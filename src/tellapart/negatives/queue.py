"""A first-in-first-out queue of keys, as MoCo's dictionary or cross-batch memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.errors import check_embeddings, requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class KeyQueue(nn.Module):
    """The last `size` keys and their ids; the oldest are replaced first.

    By its id, an old key of the query's own example can be excluded, whichever batch it is from.
    Only `push` and `replace` change the contents. They are saved and loaded with the model, and carry no gradient.

    Source: He et al. 2020 (MoCo), §3.2; Wang et al. 2020 (cross-batch memory), §3.

    >>> queue = KeyQueue(3, 1)
    >>> queue.push(torch.tensor([[1.0], [2.0]]), torch.tensor([7, 8]))
    >>> queue.push(torch.tensor([[3.0], [4.0]]), torch.tensor([9, 7]))
    >>> keys, ids = queue.read()
    >>> sorted(zip(keys[:, 0].tolist(), ids.tolist()))
    [(2.0, 8), (3.0, 9), (4.0, 7)]
    """

    keys: Tensor
    ids: Tensor
    pushed: Tensor

    def __init__(self, size: int, dim: int) -> None:
        """Reserve room for `size` keys of `dim` entries.

        Raises:
            ValueError: `size` or `dim` is below 1.
        """
        super().__init__()
        for parameter, value in (("size", size), ("dim", dim)):
            if value < 1:
                raise ValueError(requirement(parameter, "be at least 1", value))
        self.register_buffer("keys", torch.zeros(size, dim))
        self.register_buffer("ids", torch.zeros(size, dtype=torch.long))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        """The number of filled slots."""
        return min(int(self.pushed), len(self.keys))

    @torch.no_grad()
    def push(self, keys: Float[Tensor, "b d"], ids: Int[Tensor, " b"]) -> None:
        """Add a batch of any size; of a batch larger than the queue, only its end is kept.

        Raises:
            TypeError: keys that are not floating-point, ids that are not integers.
            ValueError: keys of another width, or not as many ids as keys.
        """
        self._check(keys, ids)
        size = len(self.keys)
        last = slice(max(0, len(keys) - size), len(keys))
        slots = (self.pushed + torch.arange(len(keys), device=self.keys.device)[last]) % size
        self.keys[slots] = keys[last].to(self.keys)
        self.ids[slots] = ids[last].to(self.ids)
        self.pushed += len(keys)

    @torch.no_grad()
    def replace(self, keys: Float[Tensor, "b d"], ids: Int[Tensor, " b"]) -> None:
        """Forget all keys, and hold these: a bank that is made anew now and then.

        Raises:
            TypeError: as `push`.
            ValueError: as `push`; more keys than there is room for. The contents are then unchanged.

        >>> bank = KeyQueue(3, 1)
        >>> bank.push(torch.tensor([[1.0], [2.0]]), torch.tensor([7, 8]))
        >>> bank.replace(torch.tensor([[3.0]]), torch.tensor([9]))
        >>> bank.read()
        (tensor([[3.]]), tensor([9]))
        """
        self._check(keys, ids)
        if len(keys) > len(self.keys):
            raise ValueError(requirement("keys", f"be at most {len(self.keys)}, the queue's size", len(keys)))
        self.pushed.zero_()
        self.push(keys, ids)

    def read(self) -> tuple[Float[Tensor, "f d"], Int[Tensor, " f"]]:
        """Copies of the stored keys and their ids, in no particular order."""
        filled = len(self)
        return self.keys[:filled].clone(), self.ids[:filled].clone()

    def _check(self, keys: Tensor, ids: Tensor) -> None:
        check_embeddings("keys", keys, empty=True)
        if keys.shape[1] != self.keys.shape[1]:
            raise ValueError(requirement("keys", f"have {self.keys.shape[1]} columns", keys.shape[1]))
        if not isinstance(ids, Tensor):
            raise TypeError(requirement("ids", "be a tensor of integers", type(ids).__name__))
        if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            raise TypeError(requirement("ids", "hold integers", ids.dtype))
        if ids.shape != keys.shape[:1]:
            raise ValueError(requirement("ids", f"have one entry per key, ({len(keys)},)", f"shape {tuple(ids.shape)}"))
