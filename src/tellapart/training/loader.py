"""How a run's batches reach Lightning: in order, and from where a checkpoint left off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from tellapart.training.batches import Batches
from tellapart.training.stopwatch import timed


class Opaque:
    """A batch into which Lightning does not look: what is converted and moved is for the system to say."""

    def __init__(self, content: Any) -> None:
        self.content = content


class Steps:
    """The batches of one device from the step `begin`, as a loader that Lightning can resume (by its `state_dict`)."""

    def __init__(
        self, batches: Batches, collate: Callable[[Tensor], Any], device: int, n_devices: int, begin: int = 0
    ) -> None:
        self.batches, self.collate, self.device, self.n_devices = batches, collate, device, n_devices
        self.begin = self.done = begin

    def __len__(self) -> int:
        return self.batches.n_steps(self.n_devices) - self.begin

    def __iter__(self) -> Iterator[Opaque]:
        for step in range(self.done, self.begin + len(self)):
            self.done = step + 1
            with timed("data"):
                batch = self.collate(self.batches.rows(step, self.device, self.n_devices))
            yield Opaque(batch)

    def state_dict(self) -> dict[str, int]:
        """How far it came."""
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.done = state["done"]
