"""A trained run and its models, as everything that can be done with it needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from tellapart.runs.run import Run

MakeModel = Callable[[Any, Run], nn.Module]
"""Makes a run's model with the first weights that the seed of its options decides, from them and the run."""


@dataclass(frozen=True)
class FinishedRun:
    """A run, its options, and its model before and after training, each made and read when it is first asked for."""

    run: Run
    config: Any
    make_model: MakeModel

    @cached_property
    def untrained(self) -> Any:
        """The model with its first weights, for use and not for training.

        Raises:
            InputError: the run is damaged.
        """
        return self.make_model(self.config, self.run).eval()

    @cached_property
    def model(self) -> Any:
        """The trained model, for use and not for training, in the usual precision.

        Raises:
            InputError: training is not complete, or the weights are damaged or of another model.
        """
        self.run.check_trained()
        made = self.make_model(self.config, self.run)
        self.run.load_weights(made)
        return made
