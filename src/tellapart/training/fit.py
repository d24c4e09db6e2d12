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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from tellapart.diagnostics import mi_bound
from tellapart.errors import InputError, NotFiniteError, cannot_write, requirement
from tellapart.files import atomic_write
from tellapart.partition import Terms
from tellapart.run import Run, is_first_process
from tellapart.temperature import LearnedTemperature
from tellapart.training.batches import Batches
from tellapart.training.options import Interrupted, TrainerOptions
from tellapart.training.progress import StepBar

_WARM_UP = 0.05


@dataclass(frozen=True)
class Recipe:
    """How weights follow gradients: AdamW, a linear warm-up over 5 % of the steps, then half a cosine to 0."""

    learning_rate: float
    weight_decay: float


def fit(
    model: nn.Module,
    terms: Callable[[Any, Any], Terms],
    batches: Batches,
    collate: Callable[[Tensor], Any],
    run: Run,
    recipe: Recipe,
    options: TrainerOptions,
) -> None:
    """Train `model` in place to minimise `terms(model, batch).loss()`, from the run's checkpoint if it has one.

    Args:
        model: the encoders and whatever else is trained.
        terms: the system's objective, in nats; its mean is what is minimised.
        batches: which rows each step sees.
        collate: rows to the batch that `terms` gets, an object with a method `to(device)`.
        run: where log and checkpoint are kept.
        recipe: learning rate and weight decay.
        options: device, precision, how often to save.

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
            callbacks=[_Keeper(run, batches.seed, options.checkpoint_every), StepBar(batches)],
            plugins=[_AtomicCheckpoints()],
            default_root_dir=run.folder,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise InputError(f"trainer: {' '.join(str(error).split())}") from error
    learner = _Learner(model, terms, batches, collate, recipe)
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
    ) -> None:
        super().__init__()
        self.model, self.terms, self.recipe = model, terms, recipe
        self.batches, self.collate = batches, collate

    def training_step(self, batch: _Opaque) -> dict[str, Tensor]:
        try:
            terms = self.terms(self.model, batch.content.to(self.device))
        except NotFiniteError as error:
            raise _diverged(self.global_step + 1, str(error)) from error
        return {"loss": terms.loss(), **_summary(terms)}

    def train_dataloader(self) -> _Steps:
        return _Steps(self.batches, self.collate, self.trainer.global_rank, self.trainer.world_size)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        # Decay is for the weights of sums; biases, norms and temperatures are left alone.
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=self.recipe.learning_rate)
        n_steps = self.batches.n_steps(self.trainer.world_size)
        schedule = LambdaLR(optimizer, partial(_warm_up_then_cosine, n_steps=n_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _warm_up_then_cosine(step: int, n_steps: int) -> float:
    warm_up = min(1.0, (step + 1) / max(1.0, _WARM_UP * n_steps))
    return warm_up * (1 + math.cos(math.pi * step / n_steps)) / 2


def _summary(terms: Terms) -> dict[str, Tensor]:
    with torch.no_grad():
        return {
            "n_candidates": terms.n_candidates.double().mean(),
            "mi_bound": mi_bound(terms),
            "accuracy": terms.accuracy(),
        }


class _Opaque:
    """A batch into which Lightning does not look: what is converted and moved is for the system to say."""

    def __init__(self, content: Any) -> None:
        self.content = content


class _Steps:
    """The batches of one device, as a loader that Lightning can resume (by its `state_dict` protocol)."""

    def __init__(self, batches: Batches, collate: Callable[[Tensor], Any], device: int, n_devices: int) -> None:
        self.batches, self.collate, self.device, self.n_devices = batches, collate, device, n_devices
        self.done = 0

    def __len__(self) -> int:
        return self.batches.n_steps(self.n_devices)

    def __iter__(self) -> Iterator[Any]:
        for step in range(self.done, len(self)):
            self.done = step + 1
            yield _Opaque(self.collate(self.batches.rows(step, self.device, self.n_devices)))

    def state_dict(self) -> dict[str, int]:
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.done = state["done"]


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

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        sequence = np.random.SeedSequence([self.seed, trainer.global_step, trainer.global_rank])
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        self.started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, n_steps = trainer.global_step, int(trainer.num_training_batches)
        entry = {name: value.item() for name, value in outputs.items()}
        if not math.isfinite(entry["loss"]):
            raise _diverged(step, f"the loss became {entry['loss']}.")
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
        learner = trainer.lightning_module
        state = {
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": time.perf_counter() - self.started,
        }
        for module in learner.modules():
            if isinstance(module, LearnedTemperature):
                state["temperature"] = module().item()
        return state

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


class _AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all, and are read without unpickling code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with atomic_write(Path(path)) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        try:
            state: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except Exception as error:  # a damaged file fails in as many ways as there are bytes
            raise InputError(f"{path}: damaged checkpoint. Delete it to train this run from its start.") from error
        return state


def _diverged(step: int, what: str) -> InputError:
    return InputError(f"training, step {step}: {what} Lower the learning rate, or train with precision 32-true.")


def _quieten() -> None:
    """Keep Lightning's advertisements and hints that do not apply off the terminal."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
