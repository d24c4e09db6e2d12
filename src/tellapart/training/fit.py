"""Two calls that bring a run to its end, from wherever it is: what it is to be, and its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tellapart.errors import InputError
from tellapart.runs import Run, is_first_process
from tellapart.training.batches import Batches
from tellapart.training.held_out import HeldOut
from tellapart.training.options import TrainerOptions, TrainingOptions, as_plain_options
from tellapart.training.step import Step

if TYPE_CHECKING:
    from torch import Tensor


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
    before = run.options()
    # What an older version did not know, it did not keep.
    before["trainer"] = asdict(TrainerOptions()) | before["trainer"]
    changed = [
        f"{name} was {value}, now {options.get(name)}" for name, value in before.items() if options.get(name) != value
    ]
    if changed:
        raise InputError(f"{run.folder}: cannot resume with other options ({'; '.join(changed)}). Use another --run.")


def fit(
    step: Step,
    batches: Batches,
    collate: Callable[[Tensor], Any],
    run: Run,
    options: TrainerOptions,
    held_out: HeldOut | None = None,
) -> None:
    """Train `step.model` in place, from the run's checkpoint if it has one, and save its weights in the run.

    Its checkpoint is then removed. A run that is trained already stays as it is.

    Args:
        step: what is done with each batch.
        batches: which rows each step sees.
        collate: rows to the batch that the step gets, an object with a method `to(device)`.
        run: where log, checkpoint and weights are kept.
        options: device, precision, how often to save and to measure on held-out rows.
        held_out: these rows, such as `TermsStep.held_out` makes them of; `None` if there are none.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the state is saved.
        InputError: a loss is not finite, the options do not fit the machine, or the disk is full.
    """
    if run.is_trained():
        _drop_checkpoint(run)  # a kill may have come before
        return
    from tellapart.training.loop import train  # Lightning takes seconds to import

    train(step, batches, collate, run, options, held_out)
    if is_first_process():
        run.save_weights(step.model)
    _drop_checkpoint(run)


def _drop_checkpoint(run: Run) -> None:
    """Remove what only an interrupted run needs; it is larger than the weights."""
    if is_first_process():
        run.checkpoint.unlink(missing_ok=True)
