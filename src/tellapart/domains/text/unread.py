"""Sentences that outgrow the memory: as an encoder reads them, once they are asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch

from tellapart.domains.texts import are_stored, picked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Int
    from torch import Tensor

    from tellapart.domains.text.ragged import Ragged

    Read = Callable[[Sequence[str]], Ragged]

_CHUNK = 4096


class Sentences(Protocol):
    """Sentences as numbers, of which rows can be taken: those that are read already, or `Unread` ones."""

    @property
    def lengths(self) -> Int[Tensor, " n"]: ...
    def __len__(self) -> int: ...
    def rows(self, index: Int[Tensor, " k"]) -> Ragged: ...


class Unread:
    """Texts in a store, each of which is turned into numbers whenever it is taken: these would fill the memory.

    Args:
        read: an encoder's `read`.
        texts: in a store.
    """

    def __init__(self, read: Read, texts: Sequence[str]) -> None:
        self.read, self.texts = read, texts

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def lengths(self) -> Int[Tensor, " n"]:
        """The number of tokens of each, for which all are read once."""
        starts = range(0, len(self), _CHUNK)
        return torch.cat([self.read(self.texts[start : start + _CHUNK]).lengths for start in starts])

    def rows(self, index: Int[Tensor, " k"]) -> Ragged:
        """The sentences at these rows, in this order."""
        return self.read(picked(self.texts, index))


def sentences_of(read: Read, texts: Sequence[str]) -> Sentences:
    """Texts as an encoder reads them: those of a list at once, those of a store when they are taken."""
    return Unread(read, texts) if are_stored(texts) else read(texts)
