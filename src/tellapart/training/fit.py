"""The training loop: Lightning's Trainer, told to save, stop and resume so that nothing is lost.

All randomness of a step is seeded from (seed, step, device), and its rows are a function of the same. So
a step depends on nothing but the weights and the optimizer's state, which is what a checkpoint holds.
"""

from __future__ import annotations

import io
import json
import logging
import math
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from tellapart.errors import InputError, NotFiniteError, cannot_write, requirement
from tellapart.objective import Terms
from tellapart.runs import Run, is_first_process
from tellapart.training.batches import Batches
from tellapart.training.checkpoints import AtomicCheckpoints
from tellapart.training.loader import Opaque, Steps
from tellapart.training.optimizer import LazyAdamW
from tellapart.training.options import Interrupted, TrainerOptions
from tellapart.training.panel import gradient_norm, is_due, readings, readings_of_two
from tellapart.training.progress import StepBar
from tellapart.training.stopwatch import spent, timed

_WARM_UP = 0.05

Prepare = Callable[[Any, Any], Any]
AfterStep = Callable[[Any, Any, float], None]


@dataclass(frozen=True)
class Another:
    """A second objective, whose loss is added to that of the line-up; the log has it as `loss_` and its name."""

    name: str
    weight: float
    loss: Callable[[Any, Any], Tensor]
    """Called as `loss(model, batch)`; a scalar."""


@dataclass(frozen=True)
class Recipe:
    """How weights follow gradients: AdamW, a linear warm-up over 5 % of the steps, then half a cosine to 0."""

    learning_rate: float
    weight_decay: float
    another: Another | None = None


def fit(
    model: nn.Module,
    terms: Callable[[Any, Any], Terms],
    batches: Batches,
    collate: Callable[[Tensor], Any],
    run: Run,
    recipe: Recipe,
    options: TrainerOptions,
    *,
    prepare: Prepare | None = None,
    after_step: AfterStep | None = None,
) -> None:
    """Train `model` in place to minimise `terms(model, batch).loss()`, from the run's checkpoint if it has one.

    Args:
        model: the encoders and whatever else is trained.
        terms: the system's objective, in nats; its mean is what is minimised.
        batches: which rows each step sees.
        collate: rows to the batch that `terms` gets, an object with a method `to(device)`.
        run: where log and checkpoint are kept.
        recipe: learning rate and weight decay, and a second objective if there is one.
        options: device, precision, how often to save.
        prepare: called as `prepare(model, batch)`, without gradient, on the device and with the step's random
            numbers: what it returns is the batch that `terms` and `after_step` get.
        after_step: called as `after_step(model, batch, progress)`, without gradient, when the optimizer has made its
            step and before anything is saved; `progress` is the share of all steps that are done, in (0, 1]. Here
            belongs what changes the model other than by gradients. It must do the same in every process.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the state is saved.
        InputError: the loss is not finite, the options do not fit the machine, or the disk is full.
    """
    _quieten()
    if batches.n_rows < 2 * options.devices:
        must = f"leave each device 2 of the {batches.n_rows} rows to train on"
        raise InputError(requirement("trainer.devices", must, options.devices))
    try:
        trainer = Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            precision=options.precision,
            max_epochs=1,  # for Lightning the whole run is one epoch of `n_steps` batches
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[_AfterStep(), _Keeper(run, batches.seed, options.checkpoint_every), StepBar(batches)],
            plugins=[AtomicCheckpoints()],
            default_root_dir=run.folder,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise InputError(f"trainer: {' '.join(str(error).split())}") from error
    learner = _Learner(model, terms, batches, collate, recipe, prepare, after_step)
    resume_from = run.checkpoint if run.checkpoint.is_file() else None
    trainer.fit(learner, ckpt_path=resume_from, weights_only=True)


class _Learner(LightningModule):
    """What Lightning trains: the model, its objective and its batches."""

    def __init__(
        self,
        model: nn.Module,
        terms: Callable[[Any, Any], Terms],
        batches: Batches,
        collate: Callable[[Tensor], Any],
        recipe: Recipe,
        prepare: Prepare | None,
        after_step: AfterStep | None,
    ) -> None:
        super().__init__()
        self.model, self.terms, self.recipe = model, terms, recipe
        self.batches, self.collate = batches, collate
        self.prepare, self.after_step = prepare, after_step
        self.is_due, self.of_gradients = False, dict[str, float]()

    def training_step(self, batch: Opaque) -> dict[str, Any]:
        batch.content = batch.content.to(self.device)
        try:
            if self.prepare is not None:
                with torch.no_grad():
                    batch.content = self.prepare(self.model, batch.content)
            terms = self.terms(self.model, batch.content)
            another = self.recipe.another
            other = None if another is None else another.loss(self.model, batch.content)
        except NotFiniteError as error:
            raise _diverged(self.global_step + 1, str(error)) from error
        loss = terms.loss()
        with timed("panel"):
            self.is_due = is_due(self.global_step + 1, int(self.trainer.num_training_batches))
            found = {"loss": loss.detach(), **readings(self.model, terms, costly=self.is_due)}
            if another is not None and other is not None:
                found |= readings_of_two(self.model, loss, other, another.name, costly=self.is_due)
                loss = loss + another.weight * other
            return {"loss": loss, "log": self._mean_over_processes(found)}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        with timed("panel"):
            self.of_gradients = {"gradient_norm": gradient_norm(self.model)} if self.is_due else {}

    def _mean_over_processes(self, values: dict[str, Tensor]) -> dict[str, float]:
        """The mean of what processes say: of loss and accuracy, of which each says its share, that of all rows."""
        stacked = torch.stack([value.double() for value in values.values()])
        mean = self.trainer.strategy.reduce(stacked, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return dict(zip(values, mean.tolist(), strict=True))

    def train_dataloader(self) -> Steps:
        return Steps(self.batches, self.collate, self.trainer.global_rank, self.trainer.world_size)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept, own = checkpoint["state_dict"], self.state_dict()
        if {name: value.shape for name, value in kept.items()} != {name: value.shape for name, value in own.items()}:
            raise InputError("checkpoint.ckpt: of another model. Delete it to train this run from its start.")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        # Decay is for the weights of sums; biases, norms and temperatures are left alone.
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = LazyAdamW([g for g in groups if g["params"]], lr=self.recipe.learning_rate)
        n_steps = self.batches.n_steps(self.trainer.world_size)
        schedule = LambdaLR(optimizer, partial(_warm_up_then_cosine, n_steps=n_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _warm_up_then_cosine(step: int, n_steps: int) -> float:
    warm_up = min(1.0, (step + 1) / max(1.0, _WARM_UP * n_steps))
    return warm_up * (1 + math.cos(math.pi * step / n_steps)) / 2


class _AfterStep(Callback):
    """Calls the system's hook; the first of the callbacks, so that what is saved has it done."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, _Learner)
        if pl_module.after_step is not None:
            with torch.no_grad():
                progress = trainer.global_step / int(trainer.num_training_batches)
                pl_module.after_step(pl_module.model, batch.content, progress)


class _Keeper(Callback):
    """Seeds every step, writes the log and the checkpoints, and ends the run between two steps if asked to."""

    def __init__(self, run: Run, seed: int, checkpoint_every: int) -> None:
        self.run, self.seed, self.checkpoint_every = run, seed, checkpoint_every
        self.stop_signal = 0
        self.previous: dict[int, Any] = {}
        self.log_file: io.TextIOWrapper | None = None
        self.started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.previous[number] = signal.signal(number, self._ask_to_stop)
        if trainer.is_global_zero:
            self.run.rewind_log(trainer.global_step)
            self.log_file = self.run.log_file.open("a", encoding="utf-8")
        spent()  # whatever was timed before

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        sequence = np.random.SeedSequence([self.seed, trainer.global_step, trainer.global_rank])
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        self.started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, n_steps = trainer.global_step, int(trainer.num_training_batches)
        entry: dict[str, float] = outputs["log"]
        for name, value in entry.items():
            if name.startswith("loss") and not math.isfinite(value):
                raise _diverged(step, f"the {name} became {value}.")
        self._write(entry | {"step": step, **self._state(trainer)})
        stop = trainer.strategy.reduce_boolean_decision(bool(self.stop_signal), all=False)
        if stop or step % self.checkpoint_every == 0 or step == n_steps:
            trainer.save_checkpoint(self.run.checkpoint)
        if stop and step < n_steps:
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

    def _ask_to_stop(self, number: int, frame: Any) -> None:
        if self.stop_signal:  # asked twice: do not wait for the step
            raise Interrupted(number, "stopped at once; what came after the last checkpoint will be done again")
        self.stop_signal = number
        if is_first_process():
            print("\nStopping after this step and saving …", file=sys.stderr, flush=True)

    def _state(self, trainer: Trainer) -> dict[str, float]:
        learner, parts = trainer.lightning_module, spent()
        assert isinstance(learner, _Learner)
        return {
            **learner.of_gradients,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            # The data were fetched before the step began.
            "seconds": parts.get("data", 0.0) + time.perf_counter() - self.started,
            **{f"seconds_{part}": seconds for part, seconds in parts.items()},
        }

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


def _diverged(step: int, what: str) -> InputError:
    return InputError(f"training, step {step}: {what} Lower the learning rate, or train with precision 32-true.")


def _quieten() -> None:
    """Keep Lightning's advertisements and hints that do not apply off the terminal."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
