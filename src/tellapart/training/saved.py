"""What a run has saved of its training: its checkpoint, and weights that another can begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tellapart.errors import InputError
from tellapart.runs import Run, read_weights

if TYPE_CHECKING:
    from torch import Tensor

STEPS_DONE, STATE = "steps_done", "state_dict"  # in a checkpoint
_OF_LEARNER = "model."  # before the names of a model's weights there


def read_checkpoint(path: Path, map_location: Any = None) -> dict[str, Any]:
    """A checkpoint, as plain data and tensors.

    Raises:
        InputError: it is damaged, or holds more than that.
    """
    try:
        kept: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        raise InputError(f"{path}: damaged checkpoint. Delete it to train this run from its start.") from error
    return kept


def steps_done(run: Run) -> int:
    """The steps of the run that its checkpoint holds; 0 if it has none.

    Raises:
        InputError: the checkpoint is damaged.
    """
    return steps_in(read_checkpoint(run.checkpoint), run.checkpoint) if run.checkpoint.is_file() else 0


def weights_of(run: Run) -> tuple[dict[str, Tensor], str]:
    """The weights that a run has come to by now, and in words how far that is.

    Raises:
        InputError: it has none yet, or they are damaged.
    """
    if run.is_trained():
        return read_weights(run.weights), "trained to its end"
    if not run.checkpoint.is_file():
        raise InputError(f"{run.folder}: has no weights yet. Train it first: {run.again()}")
    kept = read_checkpoint(run.checkpoint)
    said = f"trained for {steps_in(kept, run.checkpoint)} steps, not to its end"
    return {name.removeprefix(_OF_LEARNER): value for name, value in kept[STATE].items()}, said


def steps_in(kept: dict[str, Any], name: object) -> int:
    """The steps that a checkpoint of that name says are done.

    Raises:
        InputError: it does not say.
    """
    if STEPS_DONE not in kept:
        raise InputError(f"{name}: of another version. Delete it to train this run from its start.")
    return int(kept[STEPS_DONE])
