"""A step with two losses on shared weights: a main loss and InfoNCE, their gradients combined by a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tellapart.diagnostics import inner_products
from tellapart.training.combine import Rule, combine
from tellapart.training.held_out import OBJECTIVE, HeldOut, measured
from tellapart.training.optimizer import usual_optimizer
from tellapart.training.panel import readings, readings_of_two
from tellapart.training.stopwatch import timed

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from tellapart.objective import Terms
    from tellapart.training.options import TrainingOptions
    from tellapart.training.step import Loop


@dataclass(frozen=True)
class TwoLossStep:
    """AdamW along a combination of two gradients: of a main loss, and of `weight · terms(model, batch).loss()`.

    The log has the InfoNCE loss as `loss`, with the readings of its panel, the main loss under its own name, and at
    every step what both gradients have to do with each other. A loss that takes no part in a step is not computed.

    Args:
        model: the encoder and whatever else is trained.
        main: the main loss, a scalar, called as `main(model, batch)`.
        name: the main loss is `loss_` and this name in the log.
        terms: the InfoNCE objective, in nats, called as `terms(model, batch)`.
        weight: of the InfoNCE objective; 0 for the main loss alone.
        rule: how the gradients are combined, one of `combine.RULES`.
        options: learning rate and weight decay of AdamW.
        prepare: as of `TermsStep`.
        infonce_first: the share of the steps, from the first, that minimise the InfoNCE objective alone; the others
            then minimise the main loss alone. 0 for both at every step.
    """

    model: nn.Module
    main: Callable[[Any, Any], Tensor]
    name: str
    terms: Callable[[Any, Any], Terms]
    weight: float
    rule: Rule
    options: TrainingOptions
    prepare: Callable[[Any, Any], Any]
    infonce_first: float = 0.0

    def optimizers(self, n_steps: int) -> Sequence[tuple[Optimizer, LRScheduler | None]]:
        """AdamW over all weights, with warm-up and half a cosine."""
        return [usual_optimizer(self.model, self.options, n_steps)]

    def held_out(self, n_rows: int, collate: Callable[[Tensor], Any]) -> HeldOut:
        """Held-out rows to measure both losses on; the best weights are those of the least main loss.

        Args:
            n_rows: how many there are.
            collate: rows to a batch, as `prepare` makes it.
        """
        return HeldOut(n_rows, collate, self._measure)

    def _measure(self, batch: Any) -> Mapping[str, Tensor]:
        return {**measured(self.terms(self.model, batch)), OBJECTIVE: self.main(self.model, batch)}

    def __call__(self, batch: Any, loop: Loop) -> Mapping[str, Tensor | float]:
        """Follow both gradients, or the one of this step; losses, panel and conflict are logged."""
        with torch.no_grad():
            batch = self.prepare(self.model, batch)
        is_early = loop.progress(loop.step) <= self.infonce_first
        has_main = not is_early
        has_terms = self.weight > 0 and (is_early or self.infonce_first == 0)
        found: dict[str, Tensor | float] = {}
        gradients = []
        if has_main:
            main = self.main(self.model, batch)
            found[f"loss_{self.name}"] = main.detach()
            gradients.append(loop.gradients(main))
        if has_terms:
            terms = self.terms(self.model, batch)
            loss = terms.loss()
            with timed("panel"):
                found |= {"loss": loss.detach(), **readings(self.model, terms, costly=loop.is_due)}
            gradients.append(loop.gradients(self.weight * loss))
        if len(gradients) == 1:
            loop.follow(gradients[0])
            return found
        a, b = gradients
        products = inner_products(a, b)
        loop.follow(combine(a, b, products, self.rule))
        return found | readings_of_two(products)
