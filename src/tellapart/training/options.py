"""How to train, whatever the system: the options under `--trainer`, and being asked to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tellapart.errors import require_option


@dataclass(frozen=True)
class TrainerOptions:
    """What Lightning's Trainer is told, and how often the run is saved."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Where to compute; "auto" takes a graphics card if there is one."""
    devices: int = 1
    """Devices (on the CPU: processes) that train together, in one line-up of as many times `batch_size`."""
    precision: Literal["32-true", "64-true", "bf16-mixed", "bf16-true", "16-mixed"] = "32-true"
    """Number format; the loss itself is always computed in float32 or better."""
    checkpoint_every: int = 50
    """Steps between two checkpoints: at most so many are done again after a kill."""

    def __post_init__(self) -> None:
        for name in ("devices", "checkpoint_every"):
            value = getattr(self, name)
            require_option(f"trainer.{name}", value >= 1, "be at least 1", value)


class Interrupted(Exception):
    """Training was asked to stop; the message says what is saved."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number
