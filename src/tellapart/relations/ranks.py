"""What a relation needs of the processes among which queries and keys are divided."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from torch import Tensor


class Ranks(Protocol):
    """The processes among which queries and keys are divided. All of them must make each call."""

    rank: int
    size: int

    def gather(self, values: Tensor) -> list[Tensor]:
        """What each process hands in, for all of them to see; of any length, without gradient."""

    def gather_names(self, names: list[Hashable] | None) -> list[list[Hashable] | None]:
        """The same of hashable things."""
