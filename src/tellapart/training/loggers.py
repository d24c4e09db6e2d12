"""Lightning's loggers, which get what the log of a run says, at each step."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from os import environ
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer

from tellapart.errors import InputError, cannot_write
from tellapart.training.options import flat_options

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from tellapart.runs import Run
    from tellapart.training.entries import Entry
    from tellapart.training.schedule import Count

_OF_PACKAGES = ("tensorboard", "wandb", "mlflow")


def check_installed(name: str) -> None:
    """Raise `InputError` if a logger's package, of the same name, is missing."""
    if name in _OF_PACKAGES and find_spec(name) is None:
        raise InputError(f"trainer.logger: the package {name} is missing. pip install {name}.")


class Logging(Callback):
    """Hands each entry of the log to a logger. A run that goes on tells it again what was logged before.

    What it writes lies in a folder of the logger's name in the run's, which is made anew: so nothing is there twice.
    """

    def __init__(self, name: str, run: Run, count: Count) -> None:
        check_installed(name)
        self.name, self.run, self.count = name, run, count
        self.logger: Logger | None = None
        self.open: list[Entry] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        shutil.rmtree(self.run.folder / self.name, ignore_errors=True)
        self.logger = _make(self.name, self.run)
        self.logger.log_hyperparams(flat_options(self.run.options()))
        for entry in self.run.log():
            if entry["step"] <= self.count.done:
                self._tell(entry)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.open.append(outputs["log"])
        while self.open and self.open[0].is_read:
            self._tell(self.open.pop(0))

    def _tell(self, entry: Mapping[str, float]) -> None:
        if self.logger is not None:
            values = {name: value for name, value in entry.items() if name != "step" and math.isfinite(value)}
            try:
                self.logger.log_metrics(values, step=int(entry["step"]))
            except OSError as error:
                raise cannot_write(self.run.folder / self.name, error) from error

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish("success")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._finish("failed")

    def _finish(self, status: str) -> None:
        if self.logger is not None:
            self.logger.finalize(status)


def _make(name: str, run: Run) -> Logger:
    """The logger, with its files in the run's folder."""
    loggers, folder = import_module("lightning.pytorch.loggers"), run.folder.resolve()
    made: Logger
    if name == "csv":
        made = loggers.CSVLogger(folder, name="", version=name)
    elif name == "tensorboard":
        made = loggers.TensorBoardLogger(folder, name="", version=name, default_hp_metric=False)
    elif name == "wandb":
        (folder / name).mkdir(exist_ok=True)  # which wandb asks for
        made = loggers.WandbLogger(name=folder.name, save_dir=folder, project="tellapart")
    else:
        (folder / name).mkdir(exist_ok=True)
        made = loggers.MLFlowLogger(
            experiment_name="tellapart",
            run_name=folder.name,
            # MLflow takes no new runs into plain files. A server that the environment names is the user's choice.
            tracking_uri=environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / name / 'mlflow.db'}",
            artifact_location=(folder / name / "artifacts").as_uri(),
        )
    return made
