"""The preferences of a run, for training and held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tellapart.domains.preferences.preferences import Preferences
from tellapart.domains.preferences.read import load_preferences
from tellapart.errors import InputError

if TYPE_CHECKING:
    from tellapart.domains.preferences.options import PreferenceOptions
    from tellapart.runs import Run


@dataclass(frozen=True, eq=False)
class Dataset:
    """Prompts to train on, and prompts that training never sees."""

    training: Preferences
    held_out: Preferences
    left_out: int = 0
    source: str | None = None
    """Where other data than a run's own are from."""

    @classmethod
    def load(cls, options: PreferenceOptions, run: Run, source: str | None = None) -> Dataset:
        """A run's own data; from another source, all prompts are held out.

        Raises:
            InputError: they are missing, broken or too few; or the run's own changed since it began.
        """
        if source is not None:
            whole = load_preferences(source)
            return cls(Preferences([]), whole, whole.left_out, source)
        whole = load_preferences(options.data)
        run.check_data(whole.fingerprint())
        training, held_out = whole.split(options.held_out, options.seed)
        return cls(training, held_out, whole.left_out)

    def first_held_out(self, n: int) -> Preferences:
        """The first prompts that are held out."""
        return self.held_out.at(torch.arange(min(n, len(self.held_out))))

    def check_scores(self) -> None:
        """Raise `InputError` unless every answer has a score."""
        for row in (*self.training.rows, *self.held_out.rows):
            if row.scores is None:
                raise InputError(f"{row.place}: no scores, which --target scores needs: a number for each answer.")
