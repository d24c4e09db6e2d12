"""The training loop: Lightning's Trainer, told to save, stop and resume so that nothing is lost.

All randomness of a step is seeded from (seed, step, device), and its rows are a function of the same. So
a step depends on nothing but the weights and the optimizers' states, which is what a checkpoint holds.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tellapart.distributed import fused_batch_norm
from tellapart.errors import InputError, NotFiniteError, require_option, requirement
from tellapart.runs import Run
from tellapart.training.batches import Batches
from tellapart.training.checkpoints import AtomicCheckpoints
from tellapart.training.computing import compiled_parts, deterministic
from tellapart.training.entries import Entry, entry_of, read
from tellapart.training.forecast import Forecast
from tellapart.training.held_out import HeldOut
from tellapart.training.keeper import Keeper, diverged
from tellapart.training.loader import Opaque, Steps
from tellapart.training.loggers import Logging
from tellapart.training.optimizer import clip, scheduled
from tellapart.training.options import TrainerOptions
from tellapart.training.panel import gradient_norm, is_due
from tellapart.training.progress import StepBar
from tellapart.training.saved import STATE, STEPS_DONE, steps_in
from tellapart.training.schedule import Count, count_steps
from tellapart.training.step import Step
from tellapart.training.stopwatch import timed
from tellapart.training.validation import Validation

_SCHEDULE = "schedule"  # in a checkpoint
_OF_ANOTHER = "checkpoint.ckpt: of another model. Delete it to train this run from its start."


def train(
    step: Step,
    batches: Batches,
    collate: Callable[[Tensor], Any],
    run: Run,
    options: TrainerOptions,
    held_out: HeldOut | None = None,
) -> None:
    """Train `step.model` in place: `tellapart.training.fit`, but for the saving of its weights."""
    _quieten()
    if batches.n_rows < 2 * options.devices:
        must = f"leave each device 2 of the {batches.n_rows} rows to train on"
        raise InputError(requirement("trainer.devices", must, options.devices))
    count = count_steps(run, batches.n_steps(options.devices))
    n_optimizers = len(step.optimizers(count.n_steps))
    _check_options(options, n_optimizers, held_out)
    # Of several optimizers each may have weights that the others' losses do not reach.
    strategy = "ddp_find_unused_parameters_true" if options.devices > 1 and n_optimizers > 1 else "auto"
    validation = Validation(held_out, batches, options, count)
    callbacks: list[Callback] = [validation, Keeper(run, count, batches.seed, options)]
    callbacks += [Logging(options.logger, run, count)] if options.logger != "none" else []
    callbacks += [StepBar(batches, count), Forecast(batches, count)] if options.progress else []
    try:
        trainer = Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy=strategy,
            precision=options.precision,
            max_epochs=1,  # for Lightning the whole schedule is one epoch of batches
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=callbacks,
            plugins=[AtomicCheckpoints()],
            default_root_dir=run.folder,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise InputError(f"trainer: {' '.join(str(error).split())}") from error
    resume_from = run.checkpoint if run.checkpoint.is_file() else None
    learner = _Learner(step, batches, collate, count, options)
    with deterministic(options.deterministic), compiled_parts(step.model, options.compile):
        trainer.fit(learner, ckpt_path=resume_from, weights_only=True)
    assert count.done == count.of or trainer.should_stop, "Lightning left out steps"
    validation.take_best(step.model)


def _check_options(options: TrainerOptions, n_optimizers: int, held_out: HeldOut | None) -> None:
    """Raise `InputError` if a system that takes no gradients, or holds no rows out, is asked to."""
    must = "be 1: devices share gradients, and this system has no optimizer that takes them"
    require_option("trainer.devices", options.devices == 1 or n_optimizers > 0, must, options.devices)
    usual = TrainerOptions()
    for name in ("schedule", "warm_up", "clip_gradient"):
        value, default = getattr(options, name), getattr(usual, name)
        must = f"be {default}: this system has no optimizer for which it could differ"
        require_option(f"trainer.{name}", value == default or n_optimizers > 0, must, value)
    must = "be 0: this system does not compute its loss on held-out rows"
    require_option(
        "trainer.validate_every", options.validate_every == 0 or held_out is not None, must, options.validate_every
    )


class _Learner(LightningModule):
    """What Lightning trains, and the `Loop` that a step sees: optimizers are stepped when the step asks for it."""

    def __init__(
        self,
        step: Step,
        batches: Batches,
        collate: Callable[[Tensor], Any],
        count: Count,
        options: TrainerOptions,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = step.model
        self.do, self.batches, self.collate = step, batches, collate
        self.count, self.options = count, options
        self.schedules: list[LRScheduler | None] = []
        self.norms: list[Tensor] = []

    def setup(self, stage: str) -> None:
        fused_batch_norm(self.model, self.trainer.strategy.root_device)

    @property
    def step(self) -> int:
        return self.count.done + 1

    @property
    def n_steps(self) -> int:
        return self.count.of

    def progress(self, step: int) -> float:
        return self.count.progress(step)

    @property
    def is_due(self) -> bool:
        return is_due(self.step, self.n_steps)

    def training_step(self, batch: Opaque) -> dict[str, Any]:
        self.norms = []
        try:
            found = dict(self.do(batch.content.to(self.device), self))
        except NotFiniteError as error:
            raise diverged(self.step, str(error)) from error
        with timed("panel"), self.unmixed():
            if self.norms:
                found["gradient_norm"] = torch.stack(self.norms).double().norm()
            return {"log": self._entry(found)}

    def minimise(self, loss: Tensor, which: int = 0) -> None:
        with self.unmixed():
            self._optimizers()[which].zero_grad()
            self.manual_backward(loss)
            self._advance(which)

    def gradients(self, loss: Tensor, which: int = 0) -> list[Tensor | None]:
        with self.unmixed():
            scaled = self.trainer.precision_plugin.pre_backward(loss, self)
            weights = _weights(self._optimizers()[which])
            found = torch.autograd.grad(scaled, weights, retain_graph=True, allow_unused=True)
            if any(gradient is not None and gradient.is_sparse for gradient in found):
                raise ValueError(requirement("loss", "have dense gradients", "a sparse one"))
            return self._mean_gradients(found)

    def follow(self, gradients: Sequence[Tensor | None], which: int = 0) -> None:
        with self.unmixed():
            for weight, gradient in zip(_weights(self._optimizers()[which]), gradients, strict=True):
                weight.grad = gradient
            self._advance(which)

    def _advance(self, which: int) -> None:
        optimizer, schedule = self._optimizers()[which], self.schedules[which]
        optimizer.step()
        if schedule is not None:
            schedule.step()

    @contextmanager
    def unmixed(self) -> Iterator[None]:
        """Outside of what Lightning sets around `training_step`: casting, and another default number format."""
        before = torch.get_default_dtype()
        with torch.autocast(self.device.type, enabled=False):
            torch.set_default_dtype(torch.float32)
            try:
                yield
            finally:
                torch.set_default_dtype(before)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        most, weights = self.options.clip_gradient, _weights(optimizer)
        if not (self.is_due or most):
            return
        with timed("panel"):
            length = gradient_norm(weights)
        if self.is_due:
            self.norms.append(length)
        if most:
            clip(weights, most, length)

    def _optimizers(self) -> Sequence[LightningOptimizer]:
        found = self.optimizers()
        return found if isinstance(found, list) else [found]

    def mean_over_processes(self, values: dict[str, Tensor | float]) -> dict[str, float]:
        """The mean of what processes say: of loss and accuracy, of which each says its share, that of all rows."""
        entry = self._entry(values)
        read([entry])
        return entry

    def _entry(self, values: dict[str, Tensor | float]) -> Entry:
        """The same, to be read later."""
        entry = entry_of(values, self.device)
        if values:
            mean = self.trainer.strategy.reduce(entry.values_there, reduce_op="mean")
            assert isinstance(mean, Tensor)
            entry.values_there = mean
        return entry

    def _mean_gradients(self, own: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The mean over processes, sent as one vector."""
        known = [gradient for gradient in own if gradient is not None]
        if self.trainer.world_size == 1 or not known:
            return list(own)
        mean = self.trainer.strategy.reduce(torch.cat([gradient.flatten() for gradient in known]), reduce_op="mean")
        assert isinstance(mean, Tensor)
        parts = iter(mean.split([gradient.numel() for gradient in known]))
        return [None if gradient is None else next(parts).view_as(gradient) for gradient in own]

    def train_dataloader(self) -> Steps:
        rank, n_devices = self.trainer.global_rank, self.trainer.world_size
        return Steps(self.batches, self.collate, rank, n_devices, self.count.begin)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[STEPS_DONE], checkpoint[_SCHEDULE] = self.count.done, [self.count.begin, self.count.of]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.trainer.precision_plugin.convert_module(self)  # or 64 bits would be read into 32, and only then widened
        kept, own = checkpoint[STATE], self.state_dict()
        shapes = ({name: value.shape for name, value in state.items()} for state in (kept, own))
        made = self._made_anew()
        if next(shapes) != next(shapes) or len(checkpoint["optimizer_states"]) != len(made):
            raise InputError(_OF_ANOTHER)
        self.count.done = steps_in(checkpoint, "checkpoint.ckpt")
        if checkpoint.get(_SCHEDULE) != [self.count.begin, self.count.of]:
            _plan_anew(checkpoint, made)

    def configure_optimizers(self) -> Any:
        made = self._made_anew()
        self.schedules = [schedule for _, schedule in made]
        return [optimizer for optimizer, _ in made], [schedule for schedule in self.schedules if schedule is not None]

    def _made_anew(self) -> Sequence[tuple[Optimizer, LRScheduler | None]]:
        """New optimizers with their schedules: the system's own, unless the trainer's options say otherwise."""
        n_steps, options, usual = self.count.n_steps, self.options, TrainerOptions()
        made = self.do.optimizers(n_steps)
        shape, warm_up = options.schedule, options.warm_up
        if (shape, warm_up) == (usual.schedule, usual.warm_up):
            return made
        return [(optimizer, scheduled(optimizer, n_steps, shape, warm_up)) for optimizer, _ in made]


def _plan_anew(checkpoint: dict[str, Any], made: Sequence[tuple[Optimizer, LRScheduler | None]]) -> None:
    """Change the step sizes of a checkpoint to those of schedules of another length, made anew, at the same step."""
    old, new = iter(checkpoint["lr_schedulers"]), []
    for kept, (optimizer, schedule) in zip(checkpoint["optimizer_states"], made, strict=True):
        if schedule is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the schedule steps without its optimizer
            for _ in range(next(old)["last_epoch"]):
                schedule.step()
        for was, now in zip(kept["param_groups"], optimizer.param_groups, strict=True):
            was["lr"] = now["lr"]
        new.append(schedule.state_dict())
    checkpoint["lr_schedulers"] = new


def _weights(optimizer: Optimizer | LightningOptimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _quieten() -> None:
    """Keep Lightning's advertisements and hints that do not apply off the terminal."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
