"""The progress bar: how far, how well, how long still."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tellapart.training.batches import Batches


class StepBar(Callback):
    """A bar over all steps of the run with the epoch, the loss, the number K of negatives and the accuracy."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
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
        self.task = self.progress.add_task("", total=int(trainer.num_training_batches), completed=trainer.global_step)
        self.progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.progress is None:
            return
        step = trainer.global_step
        epoch = -(-step // self.batches.steps_per_epoch(trainer.world_size))
        log = outputs["log"]
        description = (
            f"epoch {epoch}/{self.batches.epochs} · loss {log['loss']:.3f}"
            f" · K {log['n_candidates'] - 1:.0f} · accuracy {log['accuracy']:.0%}"
        )
        self.progress.update(self.task, completed=step, description=description)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
