"""How to train, whatever the system: the options that all have, those under `--trainer`, and being asked to stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tellapart.errors import exists, require_option


class TrainingOptions(Protocol):
    """The options that every system has, each with its own words and defaults."""

    @property
    def held_out(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


def check_training(options: TrainingOptions, *, seed_bits: int = 63) -> None:
    """Refuse what no system can train with.

    Args:
        options: those of a system.
        seed_bits: of the largest seed.

    Raises:
        InputError: an option is out of its range.
    """
    require_option("held_out", 0 < options.held_out < 1, "lie between 0 and 1", options.held_out)
    is_seed = 0 <= options.seed < 2**seed_bits
    require_option("seed", is_seed, f"lie between 0 and 2^{seed_bits} - 1", options.seed)
    require_option("epochs", 1 <= options.epochs <= 10**6, "lie between 1 and 1000000", options.epochs)
    must = "be at least 2: a line-up needs somebody else"
    require_option("batch_size", options.batch_size >= 2, must, options.batch_size)
    require_option("learning_rate", options.learning_rate > 0, "be positive", options.learning_rate)
    require_option("weight_decay", options.weight_decay >= 0, "be at least 0", options.weight_decay)


def name_from_root(options: object, *names: str) -> None:
    """Change options that name files so that they name them from the root: then the run can be used from any folder.

    What does not exist is left as it is.
    """
    for name in names:
        if exists(given := getattr(options, name)):
            object.__setattr__(options, name, str(Path(given).resolve()))  # the options' class is frozen


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
