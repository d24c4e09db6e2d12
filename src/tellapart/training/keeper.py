"""What keeps a run safe while it trains: seeds for every step, the log, checkpoints, and stopping when asked to."""

from __future__ import annotations

import io
import json
import math
import signal
import sys
import threading
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from tellapart.errors import InputError, cannot_write
from tellapart.runs import Run, is_first_process
from tellapart.training.entries import READ_EVERY, Entry, read
from tellapart.training.options import Interrupted, TrainerOptions
from tellapart.training.schedule import Count
from tellapart.training.seeds import seed_step
from tellapart.training.stopwatch import spent


class Keeper(Callback):
    """Counts and seeds steps, writes the log and the checkpoints, and ends the run between two steps if asked to."""

    def __init__(self, run: Run, count: Count, seed: int, options: TrainerOptions) -> None:
        self.run, self.count, self.seed, self.options = run, count, seed, options
        self.saved = time.monotonic()
        self.stop_signal = 0
        self.previous: dict[int, Any] = {}
        self.log_file: io.TextIOWrapper | None = None
        self.started = 0.0
        self.open: list[Entry] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_main = threading.current_thread() is threading.main_thread()  # no other may handle signals
        for number in (signal.SIGINT, signal.SIGTERM) if is_main else ():
            self.previous[number] = signal.signal(number, self._ask_to_stop)
        if trainer.is_global_zero:
            self.run.rewind_log(self.count.done)
            self.log_file = self.run.log_file.open("a", encoding="utf-8")
        spent()  # whatever was timed before
        self.saved = time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        seed_step(self.seed, self.count.done, trainer.global_rank)
        self.started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.count.done += 1
        step = self.count.done
        n_steps = self.count.of
        entry: Entry = outputs["log"]
        entry |= {"step": step, **self._state(trainer)}
        self.open.append(entry)
        is_last = step == n_steps or trainer.should_stop
        is_late = time.monotonic() - self.saved > 60 * self.options.checkpoint_minutes
        is_asked = self._any(trainer, is_late or bool(self.stop_signal))
        stop = is_asked and self._any(trainer, bool(self.stop_signal))
        is_kept = is_asked or is_last or step % self.options.checkpoint_every == 0
        if is_kept or entry.is_at_hand or step % READ_EVERY == 0:
            self._read_open()
        if is_kept:
            trainer.save_checkpoint(self.run.checkpoint)
            self.saved = time.monotonic()
        if stop and not is_last:
            what = f"stopped after step {step} of {n_steps}, all of it saved"
            raise Interrupted(self.stop_signal or signal.SIGTERM, what)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._let_go()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._let_go()

    def _let_go(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        if self.log_file is not None:
            self.log_file.close()

    @staticmethod
    def _any(trainer: Trainer, decision: bool) -> bool:
        """Whether any process says so; all learn of it."""
        return bool(trainer.strategy.reduce_boolean_decision(decision, all=False))

    def _ask_to_stop(self, number: int, frame: Any) -> None:
        if self.stop_signal:  # asked twice: do not wait for the step
            raise Interrupted(number, "stopped at once; what came after the last checkpoint will be done again")
        self.stop_signal = number
        if is_first_process():
            print("\nStopping after this step and saving …", file=sys.stderr, flush=True)

    def _state(self, trainer: Trainer) -> dict[str, float]:
        parts = spent()
        rate = {"learning_rate": trainer.optimizers[0].param_groups[0]["lr"]} if trainer.optimizers else {}
        return {
            **rate,
            # The data were fetched before the step began.
            "seconds": parts.get("data", 0.0) + time.perf_counter() - self.started,
            **{f"seconds_{part}": seconds for part, seconds in parts.items()},
        }

    def _read_open(self) -> None:
        """Write the entries that wait for the device, and stop where a loss is not finite."""
        read(self.open)
        entries, self.open = self.open, []
        for entry in entries:
            for name, value in entry.items():
                if name.startswith("loss") and not math.isfinite(value):
                    raise diverged(int(entry["step"]), f"the {name} became {value}.")
            self._write(entry)

    def _write(self, entry: dict[str, float]) -> None:
        if self.log_file is None:
            return
        # JSON has no NaN: what could not be measured (an MI bound without single positives) is left out.
        known = {name: value for name, value in entry.items() if math.isfinite(value)}
        try:
            self.log_file.write(json.dumps(known) + "\n")
            self.log_file.flush()
        except OSError as error:
            raise cannot_write(self.run.log_file, error) from error


def diverged(step: int, what: str) -> InputError:
    """What is raised when a number of the training is not finite."""
    return InputError(f"training, step {step}: {what} Lower the learning rate, or train with precision 32-true.")
