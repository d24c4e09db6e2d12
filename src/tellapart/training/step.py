"""What a training does at each step: the interface, and the usual step that minimises InfoNCE by gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch

from tellapart.diagnostics import gradient_products
from tellapart.training.held_out import HeldOut, measured
from tellapart.training.optimizer import usual_optimizer
from tellapart.training.panel import readings, readings_of_two
from tellapart.training.stopwatch import timed

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from tellapart.objective import Terms
    from tellapart.training.options import TrainingOptions


class Loop(Protocol):
    """What the training loop tells a step, and does for it."""

    @property
    def step(self) -> int:
        """Which step this is, counted from 1."""

    @property
    def n_steps(self) -> int:
        """How many there are."""

    def progress(self, step: int) -> float:
        """The share of the schedule that is done after a step: 1 after the last.

        It is `step / n_steps`, but for a finished run that is trained on: its added steps have a schedule of their own.
        """

    @property
    def is_due(self) -> bool:
        """Whether the log wants what costs more to know: at the first, each 50th and the last step."""

    def minimise(self, loss: Tensor, which: int = 0) -> None:
        """Clear the gradients of an optimizer's weights, take those of the loss, and let optimizer and schedule step.

        In several processes the gradients are the means of theirs.

        Args:
            loss: a scalar.
            which: the optimizer's place in what `Step.optimizers` returned.
        """

    def gradients(self, loss: Tensor, which: int = 0) -> list[Tensor | None]:
        """The loss's gradient of each of an optimizer's weights, for `follow`; `None` where the loss has none.

        In several processes they are the means of theirs, and a loss must reach the same weights in all of them. With
        precision 16-mixed all are multiplied by one factor, which `follow` divides by. The graph is kept.

        Args:
            loss: a scalar with dense gradients.
            which: as of `minimise`.

        Raises:
            ValueError: a gradient is sparse.
        """

    def follow(self, gradients: Sequence[Tensor | None], which: int = 0) -> None:
        """Let optimizer and schedule step along gradients, made of those of `gradients`, the same in all processes."""

    def unmixed(self) -> AbstractContextManager[None]:
        """A context in which nothing is cast to the training's precision, for what a step does without gradients."""


class Step(Protocol):
    """One step of a training: what a system hands to `fit`.

    All that a step changes must be in `model`, in the optimizers or in the schedules: these are what a checkpoint
    holds. All that is random must come from torch's generator, which is seeded for every step.
    """

    @property
    def model(self) -> nn.Module:
        """What is trained and saved, all players and running averages included."""

    def optimizers(self, n_steps: int) -> Sequence[tuple[Optimizer, LRScheduler | None]]:
        """The optimizers and their schedules, of `n_steps` steps, perhaps none; `model` is on its device."""

    def __call__(self, batch: Any, loop: Loop) -> Mapping[str, Tensor | float]:
        """Do the step, and return what the log is to say of it: scalars, of which processes log the mean.

        Entries named `loss…` must be finite; the progress bar shows `loss`, if there is one.
        """


class AuxiliaryLoss(NamedTuple):
    """A second loss that is added to InfoNCE; the log has it as `loss_` and its name."""

    name: str
    weight: float
    loss: Callable[[Any, Any], Tensor]
    """Called as `loss(model, batch)`; a scalar."""


@dataclass(frozen=True)
class TermsStep:
    """The usual step: AdamW on `terms(model, batch).loss()`, and the instrument panel in the log.

    The step size rises linearly over the first 5 % of the steps, then falls along half a cosine to 0.

    Args:
        model: the encoders and whatever else is trained.
        terms: the system's objective, in nats, called as `terms(model, batch)`.
        options: learning rate and weight decay of AdamW.
        prepare: called as `prepare(model, batch)`, without gradient, on the device and with the step's random numbers;
            what it returns is the batch that all others get.
        after_step: called as `after_step(model, batch, progress)`, without gradient, when the optimizer has made its
            step; `progress` is the share of the schedule that is done, in (0, 1]. It must do the same in every process.
        observe: called as `observe(model, batch, terms)`, without gradient, after the optimizer's step, which the terms
            do not know of; what it returns is logged. It must do the same in every process.
        auxiliary: a second loss.
    """

    model: nn.Module
    terms: Callable[[Any, Any], Terms]
    options: TrainingOptions
    prepare: Callable[[Any, Any], Any] | None = None
    after_step: Callable[[Any, Any, float], None] | None = None
    auxiliary: AuxiliaryLoss | None = None
    observe: Callable[[Any, Any, Terms], Mapping[str, Tensor | float]] | None = None

    def optimizers(self, n_steps: int) -> Sequence[tuple[Optimizer, LRScheduler | None]]:
        """AdamW over all weights, with warm-up and half a cosine."""
        return [usual_optimizer(self.model, self.options, n_steps)]

    def held_out(self, n_rows: int, collate: Callable[[Tensor], Any], in_blocks: bool = False) -> HeldOut:
        """Held-out rows to measure the objective on, without the second loss.

        Args:
            n_rows: how many there are.
            collate: rows to a batch, as of training.
            in_blocks: as of `HeldOut`.
        """
        return HeldOut(n_rows, collate, self._measure, in_blocks)

    def _measure(self, batch: Any) -> Mapping[str, Tensor]:
        return measured(self.terms(self.model, batch if self.prepare is None else self.prepare(self.model, batch)))

    def __call__(self, batch: Any, loop: Loop) -> Mapping[str, Tensor | float]:
        """Minimise both losses; loss, readings of the panel and the auxiliary loss are logged."""
        if self.prepare is not None:
            with torch.no_grad():
                batch = self.prepare(self.model, batch)
        terms = self.terms(self.model, batch)
        second = None if self.auxiliary is None else self.auxiliary.loss(self.model, batch)
        loss = terms.loss()
        with timed("panel"):
            found: dict[str, Tensor | float] = {
                "loss": loss.detach(),
                **readings(self.model, terms, costly=loop.is_due),
            }
            if self.auxiliary is not None and second is not None:
                found[f"loss_{self.auxiliary.name}"] = second.detach()
                second = self.auxiliary.weight * second
                if loop.is_due:
                    weights = [p for p in self.model.parameters() if p.requires_grad]
                    found |= readings_of_two(gradient_products(second, loss, weights))
                loss = loss + second
        loop.minimise(loss)
        if self.after_step is not None:
            with torch.no_grad(), loop.unmixed():
                self.after_step(self.model, batch, loop.progress(loop.step))
        if self.observe is not None:
            with torch.no_grad(), loop.unmixed():
                found |= self.observe(self.model, batch, terms)
        return found
