"""How long a training will take, said once at its beginning if that is long, with a smaller start."""

from __future__ import annotations

import logging
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from tellapart.training.batches import Batches
from tellapart.training.schedule import Count

_logger = logging.getLogger("tellapart")
LONG, SHORT = 30 * 60, 10 * 60  # seconds: what is said to be long, and what a first look should take
_AFTER = 20  # seconds from which on a forecast is sound


class Forecast(Callback):
    """Says once how long the rest will take, if that is more than half an hour."""

    def __init__(self, batches: Batches, count: Count) -> None:
        self.batches, self.count = batches, count
        self.begun: tuple[float, int] | None = None
        self.is_said = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.is_said or not trainer.is_global_zero:
            return
        now, done = time.monotonic(), self.count.done
        if self.begun is None:  # behind the first step, which prepares much
            self.begun = now, done
            return
        spent, steps = now - self.begun[0], done - self.begun[1]
        if spent < _AFTER:
            return
        self.is_said = True
        n_steps = self.count.of
        if advice := told(spent / steps, n_steps - done, n_steps // self.batches.epochs, self.batches.epochs):
            _logger.info(advice)


def told(seconds: float, n_left: int, per_epoch: int, epochs: int) -> str:
    """What is said of `n_left` steps of so many seconds each; "" if they take less than half an hour.

    >>> told(1.0, 36_000, 360, 100)
    'About 10 hours to go. For a first look of about 12 minutes: Ctrl-C, and --epochs 2 with another --run.'
    """
    left, epoch = seconds * n_left, seconds * per_epoch
    if left <= LONG:
        return ""
    long = f"{left / 3600:.0f} hours" if left > 2 * 3600 else f"{left / 60:.0f} minutes"
    if epochs == 1 or epoch > 2 * SHORT:
        return f"About {long} to go. For a first look: Ctrl-C, and less data, or smaller ones, with another --run."
    fewer = max(1, min(epochs - 1, round(SHORT / epoch)))
    took = max(1, round(fewer * epoch / 60))
    minutes = "1 minute" if took == 1 else f"{took} minutes"
    look = f"For a first look of about {minutes}"
    return f"About {long} to go. {look}: Ctrl-C, and --epochs {fewer} with another --run."
