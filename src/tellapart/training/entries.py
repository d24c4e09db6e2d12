"""What the log says of a step, which a device may still have to compute: the host waits for many steps at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import at_hand

if TYPE_CHECKING:
    from jaxtyping import Float

READ_EVERY = 10
"""Steps after which the values of a device are read, and the log is written."""


class Entry(dict[str, float]):
    """The log's entry of one step. Values that the device has yet to compute are NaN until they are read.

    >>> entry = Entry(["loss"], torch.tensor([0.5]))
    >>> read([entry])
    >>> entry
    {'loss': 0.5}
    """

    def __init__(self, names: Sequence[str], values: Float[Tensor, " names"]) -> None:
        super().__init__(dict.fromkeys(names, math.nan))
        self.names, self.values_there = tuple(names), values
        self.is_read = False

    @property
    def is_at_hand(self) -> bool:
        """Whether to read its values takes no waiting."""
        return self.is_read or at_hand(self.values_there)


def entry_of(values: Mapping[str, Tensor | float], device: torch.device) -> Entry:
    """An entry of values on a device, or of numbers."""
    kept = [(value, None if isinstance(value, Tensor) else torch.float64) for value in values.values()]
    found = [torch.as_tensor(value, dtype=dtype, device=device).detach() for value, dtype in kept]
    # Together they become float64, in one call: numbers of few digits keep their value in those of more.
    parts = [value if value.is_floating_point() else value.double() for value in found]
    return Entry(list(values), torch.stack(parts).double() if parts else torch.zeros(0, dtype=torch.float64))


def read(entries: Sequence[Entry]) -> None:
    """Read the values of entries that are not read, in one copy."""
    left = [entry for entry in entries if not entry.is_read]
    if not left:
        return
    values = torch.cat([entry.values_there for entry in left]).tolist()
    for entry in left:
        own, values = values[: len(entry.names)], values[len(entry.names) :]
        entry.update(zip(entry.names, own, strict=True))
        entry.is_read = True
