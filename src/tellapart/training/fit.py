"""One call that trains a run to its end, from wherever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tellapart.runs import Run, is_first_process
from tellapart.training.batches import Batches
from tellapart.training.options import TrainerOptions
from tellapart.training.step import Step

if TYPE_CHECKING:
    from torch import Tensor


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
    from tellapart.training.loop import train  # Lightning takes seconds to import

    train(step, batches, collate, run, options)
    if is_first_process():
        run.save_weights(step.model)
