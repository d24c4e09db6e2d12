"""Training from Python, and planning it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tellapart import reading, systems
from tellapart.api.record import saved_options
from tellapart.api.trained import Trained
from tellapart.errors import InputError, require_option
from tellapart.planning import Plan, PlanOptions, make_plan
from tellapart.runs import Run, forget_stray_rank, is_first_process
from tellapart.systems.options import check_names, default_data, read_options
from tellapart.training import TrainerOptions, TrainingOptions, as_plain_options

_logger = logging.getLogger("tellapart")


def train(
    system: str,
    *,
    run: str | Path | None = None,
    trainer: Mapping[str, Any] | None = None,
    resume: bool = False,
    **options: Any,
) -> Trained:
    """Train a system into a run folder, evaluate it, write its report, and return it for use.

    Of several devices each is a process that runs the whole program up to here; all but the first end here.

    Args:
        system: its name, as `tellapart systems` lists them.
        run: the folder to train into; by default `runs/` and the system's name.
        trainer: options of the trainer, such as `{"devices": 2, "precision": "bf16-mixed"}`.
        resume: continue the run where it was interrupted, with its options; begin it if there is none. With other
            `epochs` it is trained to that number, a finished run from its weights.
        options: the system's options, such as data and epochs, as `tellapart train SYSTEM --help` lists them; `init`
            names another run to begin with the weights of.

    Raises:
        InputError: a mistake in options, data or folder, or a training that diverged.
        Interrupted: Ctrl-C or SIGTERM came (of `tellapart.training`); the state is saved, and `resume` continues.
    """
    if stray := forget_stray_rank():
        _logger.warning("%s is left over in the environment, and ignored.", stray)
    module = systems.load(system)
    place = Run(Path(run or f"runs/{system}"))
    given = options if trainer is None else {**options, "trainer": trainer}
    check_names(system, given)
    data = given.get("data", "")
    must = "be the path of a file or folder: write an array with numpy.save"
    require_option("data", isinstance(data, (str, Path)), must, type(data).__name__)
    resumed = resume and place.has_begun()
    if "data" not in given and not resumed and (usual := default_data(system)):
        _logger.info("No data are named (--data), so %s trains on its example data, %s.", system, usual)
    if resumed or (place.exists() and not is_first_process()):
        config, how = _resumed_options(place, system, given)
    else:
        config, how = read_options(system, given)
    if not is_first_process():
        with reading.accounted(config.broken):
            module.train(config, place, how)
        sys.exit()
    if not resumed:
        place.check_free()
    with place.lock():
        with reading.accounted(config.broken):
            module.train(config, place, how)
        trained = Trained(place)
        trained.report()
    return trained


def plan(options: PlanOptions, system: str | None = None) -> Plan:
    """What a batch means before training with it, from measurements on this machine that take about five seconds.

    Args:
        options: the batch, and what else is known.
        system: its name; by default moco if there is a queue, else clip.

    Raises:
        InputError: a mistake in the options, or a system that cannot be planned.
    """
    name = system or ("moco" if options.queue else "clip")
    return make_plan(name, systems.ability(name, "plan"), options)


def _resumed_options(run: Run, system: str, given: Mapping[str, Any]) -> tuple[TrainingOptions, TrainerOptions]:
    """The saved options of a run that is to be continued, with those given now, which must not contradict them."""
    if run.system != system:
        raise InputError(f"{run.folder}: a run of {run.system}, not of {system}.")
    saved = as_plain_options(*saved_options(run))
    trainer = {"trainer": {**saved["trainer"], **given.get("trainer", {})}}
    return read_options(system, {**saved, **given, **trainer})
