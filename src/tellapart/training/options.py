"""How to train, whatever the system: the options that all have, those under `--trainer`, and being asked to stop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from tellapart import reading
from tellapart.errors import exists, require_option


@dataclass(frozen=True)
class TrainingOptions:
    """Data and training: the options that every system has. A system's own words and defaults take their places.

    Raises:
        InputError: an option is out of its range.
    """

    data: str
    """The data to train on and to measure with."""
    held_out: float = 0.2
    """Share of the data that training never sees."""
    seed: int = 0
    """Decides what is held out, the first weights, the order of the batches, and all that is drawn at random."""
    epochs: int = 100
    """How often all training data are seen."""
    batch_size: int = 256
    """Examples in a batch at most, on each device."""
    learning_rate: float = 1e-3
    """Step size of AdamW at its peak."""
    weight_decay: float = 1e-4
    """Pull of the weights towards zero."""
    broken: reading.Broken = "skip"
    """What is done with an item of the data that is broken: it is left out and counted, or ends the command."""

    seed_bits: ClassVar[int] = 63
    """Of the largest seed."""

    def __post_init__(self) -> None:
        require_option("held_out", 0 < self.held_out < 1, "lie between 0 and 1", self.held_out)
        is_seed = 0 <= self.seed < 2**self.seed_bits
        require_option("seed", is_seed, f"lie between 0 and 2^{self.seed_bits} - 1", self.seed)
        require_option("epochs", 1 <= self.epochs <= 10**6, "lie between 1 and 1000000", self.epochs)
        must = "be at least 2: an example is compared with the others of its batch"
        require_option("batch_size", self.batch_size >= 2, must, self.batch_size)
        require_option("learning_rate", self.learning_rate > 0, "be positive", self.learning_rate)
        require_option("weight_decay", self.weight_decay >= 0, "be at least 0", self.weight_decay)
        name_from_root(self, "data")


def name_from_root(options: object, *names: str) -> None:
    """Change options that name files so that they name them from the root: then the run can be used from any folder.

    What does not exist is left as it is, but for the names of shards, as data-{000..003}.tar.
    """
    for name in names:
        given = getattr(options, name)
        if given and (exists(given) or ("{" in given and exists(str(Path(given).parent)))):
            object.__setattr__(options, name, str(Path(given).resolve()))  # the options' class is frozen


@dataclass(frozen=True)
class TrainerOptions:
    """What Lightning's Trainer is told, and how often the run is saved."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Where to compute; "auto" takes a graphics card if there is one."""
    devices: int = 1
    """Devices (on the CPU: processes) that train together, on batches of as many times `batch_size`."""
    precision: Literal["32-true", "64-true", "bf16-mixed", "bf16-true", "16-mixed"] = "32-true"
    """Number format; the loss itself is always computed in float32 or better."""
    checkpoint_every: int = 50
    """Steps between two checkpoints: at most so many are done again after a kill."""

    def __post_init__(self) -> None:
        for name in ("devices", "checkpoint_every"):
            value = getattr(self, name)
            require_option(f"trainer.{name}", value >= 1, "be at least 1", value)


def as_plain_options(config: TrainingOptions, trainer: TrainerOptions) -> dict[str, Any]:
    """Options as plain data; those of the trainer under "trainer"."""
    return asdict(config) | {"trainer": asdict(trainer)}


class Interrupted(Exception):
    """Training was asked to stop; the message says what is saved, and `again` the command that continues it."""

    again = ""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number
