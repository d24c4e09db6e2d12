"""The server on a machine of its own: all rounds, kept in a run folder from which they go on after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from tellapart.errors import InputError, cannot_write
from tellapart.federation.model import Federation
from tellapart.federation.rounds import one_round, say
from tellapart.files import atomic_write
from tellapart.runs import Run
from tellapart.training import STATE, STEPS_DONE, carry_out, count_steps, load_start


def server_app(prepare: Callable[[Context], tuple[Federation, Run, float]]) -> ServerApp:
    """The app of the server.

    Args:
        prepare: makes the model and begins the run, of a context's `run_config`; and says how many seconds to wait for
            clients.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        model, run, timeout = prepare(context)
        with run.lock():
            serve(grid, model, run, timeout)

    return app


def serve(grid: Grid, model: Federation, run: Run, timeout: float) -> None:
    """All rounds that are not done yet; then the weights are saved, which makes the run complete.

    Raises:
        InputError: as `one_round`; weights or checkpoint are damaged or of another model, or the disk is full.
    """
    carry_out(run)
    count_steps(run, model.agreed.rounds)
    load_start(run, model)
    done = _restore(model, run)
    run.rewind_log(done)
    for number in range(done + 1, model.agreed.rounds + 1):
        started = time.monotonic()
        found = one_round(grid, model, number, say, timeout)
        _note(run, found | {"step": number, "seconds": time.monotonic() - started})
        with atomic_write(run.checkpoint) as file:
            torch.save({STATE: model.state_dict(), STEPS_DONE: number}, file)
        told = ", ".join(f"{name} {value:.6g}" for name, value in found.items())
        say(f"round {number} of {model.agreed.rounds}: {told}")
    run.save_weights(model)


def _restore(model: Federation, run: Run) -> int:
    """Set the model to the run's checkpoint, if it has one; how many rounds are done."""
    if not run.checkpoint.is_file():
        return 0
    try:
        kept = torch.load(run.checkpoint, weights_only=True)
        model.load_state_dict(kept[STATE])
        return int(kept[STEPS_DONE])
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        what = "damaged or of another model. Delete it to train this run from its start"
        raise InputError(f"{run.checkpoint}: {what}.") from error


def _note(run: Run, entry: dict[str, float]) -> None:
    try:
        with run.log_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    except OSError as error:
        raise cannot_write(run.log_file, error) from error
