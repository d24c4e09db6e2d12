"""The progress of a training: how far, how well, how long still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from tellapart.progress import Bar, Lines, Shown, has_bars
from tellapart.training.batches import Batches
from tellapart.training.held_out import PREFIX
from tellapart.training.schedule import Count

_SHOWN: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("loss", lambda loss: f"loss {loss:.3f}"),
    ("n_candidates", lambda n: f"K {n - 1:.0f}"),
    ("accuracy", lambda accuracy: f"accuracy {accuracy:.0%}"),
    (f"{PREFIX}loss", lambda loss: f"held out: loss {loss:.3f}"),
    (f"{PREFIX}accuracy", lambda accuracy: f"accuracy {accuracy:.0%}"),
    ("bytes_of_weights", lambda n: f"{n / 2**20:.2f} MiB of weights"),
    ("bytes_of_keys", lambda n: f"{n / 2**20:.2f} MiB of keys"),
    ("words_per_second", lambda rate: f"{rate:,.0f} words/s"),
)


class StepBar(Callback):
    """How many steps are done, the epoch and, if logged, loss, number K of negatives, accuracy and speed.

    What was last measured on held-out rows stays. A bar on a terminal, else plain lines.
    """

    def __init__(self, batches: Batches, count: Count) -> None:
        self.batches, self.count = batches, count
        self.shown: Shown | None = None
        self.known: dict[str, float] = {}
        self.measured: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            done = self.count.done
            self.shown = Bar("", done, self.count.of) if has_bars() else Lines("step", done)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.shown is None:
            return
        step = self.count.done
        if outputs["log"].is_read:
            self.known = outputs["log"]
        log = self.known
        epoch = -(-step // self.batches.steps_per_epoch(trainer.world_size))
        self.measured |= {name: value for name, value in outputs["log"].items() if name.startswith(PREFIX)}
        known, said = self.measured | log, [f"epoch {epoch}/{self.batches.epochs}"]
        said += [text(known[name]) for name, text in _SHOWN if name in known]
        self.shown.update(step, self.count.of, " · ".join(said))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.shown is not None:
            self.shown.stop()
