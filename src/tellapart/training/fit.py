"""Two calls that bring a run to its end, from wherever it is: what it is to be, and its training."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tellapart.errors import InputError
from tellapart.runs import Run, is_first_process
from tellapart.training.batches import Batches
from tellapart.training.held_out import HeldOut
from tellapart.training.options import TrainerOptions, TrainingOptions, as_plain_options
from tellapart.training.schedule import carry_out, plan_epochs, settled
from tellapart.training.starting import keep_source, load_start, open_source
from tellapart.training.step import Step

if TYPE_CHECKING:
    from torch import Tensor

_logger = logging.getLogger("tellapart")


def begin(run: Run, system: str, config: TrainingOptions, trainer: TrainerOptions, final: str = "") -> None:
    """Write what a run is to be, unless it has begun; then hold the options to those that it began with.

    Another number of epochs is planned anew (`tellapart.training.schedule`). Of several processes the first does.

    Args:
        run: where to train.
        system: the name of the system.
        config: its options.
        trainer: those of the trainer.
        final: why a finished run of this system cannot be trained on; "" if it can.

    Raises:
        InputError: the folder holds something else; the run began with another system or other options; there are fewer
            epochs than are done; or the run to begin with has no weights, or damaged ones.
    """
    options = as_plain_options(config, trainer)
    if not is_first_process():
        if run.has_begun() and run.options().get("epochs") != options["epochs"]:
            plan_epochs(run, options, final)
        return
    if not run.has_begun():
        run.check_free()
        source = open_source(config)
        run.begin(system, options)
        if source is not None:
            keep_source(run, config, *source)
        return
    if run.system != system:
        raise InputError(f"{run.folder}: a run of {run.system}, not of {system}.")
    settled(run)
    before = run.options()
    # What an older version did not know, it did not keep.
    before["trainer"] = asdict(TrainerOptions()) | before["trainer"]
    changed = {
        name: f"{name} was {was}, now {options.get(name)}" for name, was in before.items() if options.get(name) != was
    }
    others = [change for name, change in changed.items() if name != "epochs"]
    if others:
        raise InputError(f"{run.folder}: cannot resume with other options ({'; '.join(others)}). Use another --run.")
    if changed:
        plan_epochs(run, options, final)


def fit(
    step: Step,
    batches: Batches,
    collate: Callable[[Tensor], Any],
    run: Run,
    options: TrainerOptions,
    held_out: HeldOut | None = None,
) -> None:
    """Train `step.model` in place, from the run's checkpoint if it has one, and save its weights in the run.

    Without a checkpoint it begins with the weights that the run was given to begin with, or with those that it has. Its
    checkpoint is removed at the end. A run that is trained already stays as it is.

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
    if batches.batch_size * options.devices > batches.n_rows and is_first_process():
        _logger.info("A batch has all %s rows to train on: --batch_size asks for more.", f"{batches.n_rows:,}")
    from tellapart.training.loop import train  # Lightning takes seconds to import

    carry_out(run)
    load_start(run, step.model)
    train(step, batches, collate, run, options, held_out)
    if is_first_process():
        run.save_weights(step.model)
    _drop_checkpoint(run)


def _drop_checkpoint(run: Run) -> None:
    """Remove what only an interrupted run needs; it is larger than the weights."""
    if is_first_process():
        run.checkpoint.unlink(missing_ok=True)
