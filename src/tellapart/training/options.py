"""How to train, whatever the system: the options that all have, those under `--trainer`, and being asked to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from tellapart import reading
from tellapart.errors import exists, require_option
from tellapart.training.held_out import BestBy
from tellapart.training.optimizer import WARM_UP, Shape


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
    """Examples in a batch at most, on each device: they are each other's negatives, so that gradients accumulated over
    several batches are no larger batch."""
    learning_rate: float = 1e-3
    """Step size of AdamW at its peak."""
    weight_decay: float = 1e-4
    """Pull of the weights towards zero."""
    broken: reading.Broken = "skip"
    """What is done with an item of the data that is broken: it is left out and counted, or ends the command."""
    init: str = ""
    """The folder of another run, to begin with its weights where names and shapes agree."""

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
        name_from_root(self, "data", "init")


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
    """Where and how to train, whatever the system; how often to save the run and to measure on held-out rows."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Where to compute; "auto" takes a graphics card if there is one."""
    devices: int = 1
    """Devices (on the CPU: processes) that train together, on batches of as many times `batch_size`."""
    precision: Literal["32-true", "64-true", "bf16-mixed", "bf16-true", "16-mixed"] = "32-true"
    """Number format; the loss itself is always computed in float32 or better."""
    compile: bool = False
    """Whether torch.compile compiles the parts of the model: it takes minutes at first, and saves time at each step."""
    deterministic: bool = False
    """Whether PyTorch takes operations that give the same bits each time, or fails; on the CPU they do without it."""
    checkpoint_every: int = 50
    """Steps between two checkpoints: at most so many are done again after a kill."""
    checkpoint_minutes: float = 10.0
    """Minutes after which a checkpoint is written, however few steps were done since the last one."""
    validate_every: int = 0
    """Steps between two measures of the loss on held-out rows. The best weights are then kept. 0 measures at the end
    alone, and keeps the last weights."""
    best_by: BestBy = "accuracy"
    """What makes weights the best: the share of held-out queries with their positive on top, then the loss; or the
    loss alone, which rises while accuracy still does if a model is too sure of itself."""
    patience: int = 0
    """Training stops after so many measures on held-out rows that are no better than the best; 0 for never."""
    schedule: Shape = "cosine"
    """How the step size falls after its warm-up: along half a cosine or linearly, both to 0; or it stays constant."""
    warm_up: float = WARM_UP
    """Share of the steps in which the step size rises to its peak."""
    clip_gradient: float = 0.0
    """Length to which a longer gradient is shortened; 0 for no limit."""
    logger: Literal["none", "csv", "tensorboard", "wandb", "mlflow"] = "none"
    """A logger of Lightning that gets the log, too; what it writes is in a folder of its name in the run's."""

    progress: bool = True
    """Whether to tell on stderr how far training is."""

    def __post_init__(self) -> None:
        for name, least in (("devices", 1), ("checkpoint_every", 1), ("validate_every", 0), ("patience", 0)):
            value = getattr(self, name)
            require_option(f"trainer.{name}", value >= least, f"be at least {least}", value)
        minutes = self.checkpoint_minutes
        require_option("trainer.checkpoint_minutes", minutes > 0, "be positive", minutes)
        must = "be 0 without trainer.validate_every: nothing is measured that could become worse"
        require_option("trainer.patience", self.patience == 0 or self.validate_every > 0, must, self.patience)
        require_option("trainer.warm_up", 0 <= self.warm_up <= 1, "lie in [0, 1]", self.warm_up)
        require_option("trainer.clip_gradient", self.clip_gradient >= 0, "be at least 0", self.clip_gradient)


def as_plain_options(config: TrainingOptions, trainer: TrainerOptions) -> dict[str, Any]:
    """Options as plain data; those of the trainer under "trainer"."""
    return asdict(config) | {"trainer": asdict(trainer)}


def flat_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Plain options in one level, those of the trainer by their names on the command line.

    >>> flat_options({"epochs": 3, "trainer": {"devices": 1}})
    {'epochs': 3, 'trainer.devices': 1}
    """
    of_trainer = {f"trainer.{name}": value for name, value in (options.get("trainer") or {}).items()}
    return {name: value for name, value in options.items() if name != "trainer"} | of_trainer


class Interrupted(Exception):
    """Training was asked to stop; the message says what is saved, and `again` the command that continues it."""

    again = ""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number
