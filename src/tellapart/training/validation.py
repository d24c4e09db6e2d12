"""Measures a training on held-out rows: what the log says of them, which weights are the best, and when it is over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from tellapart.runs import is_first_process
from tellapart.training.held_out import PREFIX, HeldOut, is_better, told
from tellapart.training.seeds import seed_step
from tellapart.training.stopwatch import timed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tellapart.training.batches import Batches
    from tellapart.training.options import TrainerOptions
    from tellapart.training.schedule import Count

_logger = logging.getLogger("tellapart")
_AS_STEPS = 2**32  # random numbers of a measure are those of steps that no training has


class Validation(Callback):
    """Measures every so many steps, and at the last; keeps the best weights, and counts measures that are no better.

    The training does not notice: weights and random numbers stay as they are. What is kept is in the checkpoint.
    """

    def __init__(self, held_out: HeldOut | None, batches: Batches, options: TrainerOptions, count: Count) -> None:
        self.held_out, self.options, self.count, self.seed = held_out, options, count, batches.seed
        self.rows: list[Tensor] = []
        if held_out is not None and held_out.n_rows >= 2 * options.devices:
            size = sum(len(batches.rows(0, device, options.devices)) for device in range(options.devices))
            self.rows = held_out.batches(size, batches.seed)
        self.best: dict[str, float] | None = None
        self.weights: dict[str, Tensor] = {}
        self.n_worse = 0

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return 0 < self.options.patience <= self.n_worse

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = self.is_over  # killed after its last step, before its weights were saved

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, every = self.count.done + 1, self.options.validate_every
        if not self.rows or not (step == self.count.of or (every and step % every == 0)):
            return
        with timed("validation", alone=True):
            found = self._measure(trainer, pl_module)
            if every:
                self._compare(found, step, pl_module.get_submodule("model"))
        outputs["log"].update({PREFIX + name: value for name, value in found.items()})
        trainer.should_stop = self.is_over

    def _measure(self, trainer: Trainer, learner: Any) -> dict[str, float]:
        assert self.held_out is not None
        rank, n = trainer.global_rank, trainer.world_size
        was_training = {module: module.training for module in learner.model.modules()}
        learner.model.eval()
        found = []
        try:
            # An accelerator's generator is seeded anew when the next step begins.
            with torch.no_grad(), torch.random.fork_rng(devices=[]), trainer.precision_plugin.val_step_context():
                for number, rows in enumerate(self.rows):
                    seed_step(self.seed, _AS_STEPS + number, rank)
                    batch = self.held_out.collate(rows.tensor_split(n)[rank])
                    found.append(self.held_out.measure(batch.to(learner.device)))
        finally:
            for module, training in was_training.items():
                module.training = training
        mean = {name: torch.stack([one[name] for one in found]).mean() for name in found[0]}
        return learner.mean_over_processes(mean)  # type: ignore[no-any-return]

    def _compare(self, found: dict[str, float], step: int, model: nn.Module) -> None:
        if not is_better(found, self.best, self.options.best_by):
            self.n_worse += 1
            return
        self.best, self.n_worse = found | {"step": step}, 0
        self.weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}

    def take_best(self, model: nn.Module) -> None:
        """Give the model the best weights, if some were kept, and say of which step they are."""
        if self.best is None:
            return
        model.load_state_dict(self.weights)
        if is_first_process():
            stopped = f"Stopped after step {self.count.done}: {self.n_worse} measures on held-out rows were no better. "
            _logger.info("%s%s", stopped if self.is_over else "", told(self.best, self.options.best_by))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {} if self.best is None else {"best": self.best, "weights": self.weights, "n_worse": self.n_worse}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best, self.weights, self.n_worse = (state_dict[name] for name in ("best", "weights", "n_worse"))
