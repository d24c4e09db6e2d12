"""The progress bar: how far, how well, how long still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tellapart.training.batches import Batches
from tellapart.training.schedule import Count

_SHOWN: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("loss", lambda loss: f"loss {loss:.3f}"),
    ("n_candidates", lambda n: f"K {n - 1:.0f}"),
    ("accuracy", lambda accuracy: f"accuracy {accuracy:.0%}"),
    ("bytes_of_weights", lambda n: f"{n / 2**20:.2f} MiB of weights"),
    ("bytes_of_keys", lambda n: f"{n / 2**20:.2f} MiB of keys"),
    ("words_per_second", lambda rate: f"{rate:,.0f} words/s"),
)


class StepBar(Callback):
    """A bar over all steps with the epoch and, if logged, loss, number K of negatives, accuracy and speed."""

    def __init__(self, batches: Batches, count: Count) -> None:
        self.batches, self.count = batches, count
        self.progress: Progress | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        columns = (
            BarColumn(bar_width=14),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.description}"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self.progress = Progress(*columns, console=Console(stderr=True))
        self.task = self.progress.add_task("", total=self.count.of, completed=self.count.done)
        self.progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.progress is None:
            return
        step = self.count.done
        epoch = -(-step // self.batches.steps_per_epoch(trainer.world_size))
        log, said = outputs["log"], [f"epoch {epoch}/{self.batches.epochs}"]
        for name, text in _SHOWN:
            if name in log:
                said.append(text(log[name]))
        self.progress.update(self.task, completed=step, description=" · ".join(said))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
