"""How many epochs a run is trained for, by which schedule, and how it gets more of them.

All that follows the course of a training follows its schedule: the step size first of all, which rises over the first
5 % and falls along half a cosine; MoCo's momentum, the penalty of a generator's critic.

| `--resume --epochs MORE` of | begins with | schedule |
|---|---|---|
| a finished run | its weights, and a new optimizer | a new one over the added epochs |
| an unfinished run | its checkpoint | planned anew over all epochs, from the step that is reached |

A run keeps the history of its schedules in `run.json`. What is kept of a change is written in this order: history,
weights, options. The options decide: a change that a kill interrupted before them is undone.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from tellapart.errors import InputError, require_option
from tellapart.runs import Run, is_first_process, write_weights
from tellapart.training.saved import steps_done, weights_of

_logger = logging.getLogger("tellapart")
_PATIENCE = 600.0  # seconds
_STEPS, _HISTORY = "steps", "schedules"  # in run.json


@dataclass(frozen=True)
class Schedule:
    """A plan for a training."""

    epochs: int
    """Of the whole run, those before this plan included."""
    since: int = 0
    """Steps that were done when it was made."""
    begin: int = 0
    """Steps before its first: 0, unless the run was finished before it was trained on."""


@dataclass
class Count:
    """Which steps of a run its current schedule spans, and how many of the run are done."""

    begin: int
    """Steps before the schedule's first."""
    of: int
    """Steps of the whole run."""
    done: int

    def progress(self, step: int) -> float:
        """The share of the schedule that is done after a step of the run.

        >>> Count(begin=10, of=30, done=10).progress(15)
        0.25
        """
        return (step - self.begin) / (self.of - self.begin)

    @property
    def n_steps(self) -> int:
        """Steps of the schedule."""
        return self.of - self.begin


def count_steps(run: Run, n_steps: int) -> Count:
    """The count of a run of so many steps in all, from the first of its schedule; the run keeps their number."""
    if not run.exists():  # a stage of another run, which is trained by one schedule
        return Count(0, n_steps, 0)
    run.note(**{_STEPS: n_steps})
    begin = begun_after(run)
    return Count(begin, n_steps, begin)


def begun_after(run: Run) -> int:
    """The steps of a run before its current schedule: more than 0 if it was finished and is trained on."""
    history = run.facts().get(_HISTORY)
    return int(history[-1]["begin"]) if history else 0


def settled(run: Run) -> list[Schedule]:
    """The schedules of a run that has begun; a change of them that a kill interrupted is undone."""
    epochs = run.options().get("epochs", 0)
    history = [Schedule(**kept) for kept in run.facts().get(_HISTORY, [])] or [Schedule(epochs)]
    if history[-1].epochs != epochs and len(history) > 1:
        undone = history.pop()
        if undone.begin > history[-1].begin and not run.is_trained():
            run.start.replace(run.weights)
        _keep(run, history)
    return history


def plan_epochs(run: Run, options: dict[str, Any], final: str) -> None:
    """Plan a run for another number of epochs than it was begun with: that of its new options.

    Nothing of it is written before `carry_out`: data that changed are refused first, and then the run is as it was.

    Args:
        run: one that has begun.
        options: all of its options, of which the epochs alone are new.
        final: why a finished run of this system cannot be trained on; "" if it can.

    Raises:
        InputError: the epochs are not more than are done, or the run cannot be trained on.
    """
    if not is_first_process():
        run.plan = partial(_await, run, options)
        return
    history, epochs = settled(run), int(options["epochs"])
    now, is_finished = history[-1], _is_finished(run)
    if is_finished and final:
        raise InputError(f"{run.folder}: finished, and cannot be trained on: {final}.")
    done = _steps_trained(run) if is_finished else max(now.begin, steps_done(run))
    epochs_done = done / Fraction(run.noted(_STEPS), now.epochs) if done else Fraction(0)
    must = f"be more than {_told(epochs_done)}, the epochs that {run.folder} is trained for already"
    require_option("epochs", epochs > epochs_done, must, epochs)
    if is_finished:
        what = f"trained for {now.epochs} epochs, and trained on from its weights to {epochs}, with a new optimizer"
        then = f"the step size rises and falls again over the {epochs - now.epochs} added epochs"
    else:
        what = f"{_told(epochs_done)} of {now.epochs} epochs are done, and {epochs} are planned now"
        then = f"the step size goes on by a schedule over all of {'the added ones' if now.begin else 'them'}"
    schedule = Schedule(epochs, done, done if is_finished else now.begin)
    run.plan = partial(_write, run, [*history, schedule], options, f"{run.folder}: {what}; {then}.")


def carry_out(run: Run) -> None:
    """Write what `plan_epochs` planned, if it did, and tell it; in other processes than the first, wait for that.

    Raises:
        InputError: a file cannot be written, or the first process does not write within ten minutes.
    """
    if run.plan is not None:
        run.plan()
        run.plan = None


def _write(run: Run, history: list[Schedule], options: dict[str, Any], told: str) -> None:
    _keep(run, history)
    if history[-1].begin > history[-2].begin:
        run.open_again()
    run.write_options(run.system, options)
    _logger.info(told)


def _await(run: Run, options: dict[str, Any]) -> None:
    end = time.monotonic() + _PATIENCE
    while run.options().get("epochs") != options["epochs"]:
        if time.monotonic() > end:
            raise InputError(f"{run.folder}: the first process did not plan it for {options['epochs']} epochs.")
        time.sleep(0.05)


def _is_finished(run: Run) -> bool:
    """Whether all steps are done; of a run that was killed behind the last one, its weights are written now."""
    if not run.is_trained() and run.checkpoint.is_file() and steps_done(run) == run.facts().get(_STEPS):
        write_weights(run.weights, weights_of(run)[0])
    return run.is_trained()


def _steps_trained(run: Run) -> int:
    """The steps of a finished run: fewer than were planned if patience ended it."""
    log = list(run.log())
    return int(log[-1]["step"]) if log else run.noted(_STEPS)


def _keep(run: Run, history: list[Schedule]) -> None:
    run.note(**{_HISTORY: [asdict(schedule) for schedule in history]})


def _told(epochs: Fraction) -> str:
    return f"{float(epochs):.4g}"
