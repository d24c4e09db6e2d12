"""Two calls that bring a run to its end, from wherever it is: what it is to be, and its training."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tellapart.errors import InputError
from tellapart.runs import Run, is_first_process
from tellapart.training.batches import Batches
from tellapart.training.options import TrainerOptions, TrainingOptions, as_plain_options
from tellapart.training.step import Step

if TYPE_CHECKING:
    from torch import Tensor

_logger = logging.getLogger("tellapart")


def begin(run: Run, system: str, config: TrainingOptions, trainer: TrainerOptions) -> None:
    """Write what a run is to be, unless it has begun; then hold the options to those that it began with.

    Of several processes the first does.

    Args:
        run: where to train.
        system: the name of the system.
        config: its options.
        trainer: those of the trainer.

    Raises:
        InputError: the folder holds something else, or the run began with another system or other options.
    """
    if not is_first_process():
        return
    options = as_plain_options(config, trainer)
    if not run.has_begun():
        run.check_free()
        run.begin(system, options)
        return
    if run.system != system:
        raise InputError(f"{run.folder}: a run of {run.system}, not of {system}.")
    before = run.options().items()
    changed = [f"{name} was {value}, now {options.get(name)}" for name, value in before if options.get(name) != value]
    if changed:
        raise InputError(f"{run.folder}: cannot resume with other options ({'; '.join(changed)}). Use another --run.")


def fit(step: Step, batches: Batches, collate: Callable[[Tensor], Any], run: Run, options: TrainerOptions) -> None:
    """Train `step.model` in place, from the run's checkpoint if it has one, and save its weights in the run.

    A run that is trained already stays as it is.

    Args:
        step: what is done with each batch.
        batches: which rows each step sees.
        collate: rows to the batch that the step gets, an object with a method `to(device)`.
        run: where log, checkpoint and weights are kept.
        options: device, precision, how often to save.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the state is saved.
        InputError: a loss is not finite, the options do not fit the machine, or the disk is full.
    """
    if run.is_trained():
        return
    if batches.batch_size * options.devices > batches.n_rows and is_first_process():
        _logger.info("A batch has all %s rows to train on: --batch_size asks for more.", f"{batches.n_rows:,}")
    from tellapart.training.loop import train  # Lightning takes seconds to import

    train(step, batches, collate, run, options)
    if is_first_process():
        run.save_weights(step.model)
