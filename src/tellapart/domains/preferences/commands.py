"""What can be done with a model trained on preferences: measure it, draw from it, score answers, export it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.domains.preferences.causal import folder_fingerprint
from tellapart.domains.preferences.dataset import Dataset
from tellapart.domains.preferences.measure import measure, score
from tellapart.domains.preferences.policy import Policy
from tellapart.domains.preferences.pretraining import reference_of
from tellapart.domains.preferences.read import load_preferences
from tellapart.files import atomic_write
from tellapart.progress import stage
from tellapart.runs import FinishedRun, Run, is_first_process

if TYPE_CHECKING:
    from torch import Tensor

    from tellapart.domains.preferences.options import PreferenceOptions
    from tellapart.domains.preferences.step import Compared
    from tellapart.evaluation import Table


@dataclass(frozen=True)
class Texts:
    """Answers to a prompt."""

    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def lines(self) -> list[str]:
        """The answers, each in a line."""
        return [" ".join(text.split()) for text in self.texts]

    def save(self, path: Path) -> None:
        """Write them as a text file, an answer a line.

        Raises:
            InputError: the file cannot be written.
        """
        with atomic_write(path) as file:
            file.write("".join(line + "\n" for line in self.lines()).encode())


@dataclass(frozen=True)
class Commands:
    """What can be done with the runs of a system of preferences.

    Args:
        rewards: called as `rewards(config, compared)`, the rewards r of a batch, as in training.
    """

    rewards: Callable[[Any, Compared], Tensor]

    def make_model(self, config: PreferenceOptions, run: Run) -> Policy:
        """The model that training begins with.

        Raises:
            InputError: it is missing or damaged, or changed since the run began.
        """
        if config.model:
            run.check_data(folder_fingerprint(reference_of(config, run)), "model")
        return Policy(reference_of(config, run), config.longest, config.lora, config.seed)

    def finish(self, config: PreferenceOptions, run: Run, data: Dataset) -> None:
        """Measure a run that was just trained; of several processes the first does."""
        if not is_first_process():
            return
        with stage("measuring"):
            run.save_results(self._measure(FinishedRun(run, config, self.make_model), data).as_dict())

    def evaluate(self, finished: FinishedRun, source: str | None) -> Table:
        """Measure on the run's held-out prompts, and keep the result with it; or on other data."""
        table = self._measure(finished, Dataset.load(finished.config, finished.run, source))
        if source is None:
            finished.run.renew_results(table.as_dict())
        return table

    def score(self, finished: FinishedRun, source: str) -> Table:
        """The reward of every answer in a file."""
        preferences = load_preferences(source, compared=False)
        policy, reference, config = finished.model, finished.untrained, finished.config
        return score(preferences, policy, reference, self._rewards(config), config.beta)

    def sample(self, finished: FinishedRun, n: int, seed: int, prompt: str) -> Texts:
        """n answers to a prompt."""
        policy = finished.model
        asked = policy.tokens.prompt(prompt)
        return Texts([policy.tokens.text(answer) for answer in policy.draw([asked] * n, seed)])

    def export(self, finished: FinishedRun, folder: Path) -> str:
        """Write the model as transformers reads it; says what it is."""
        finished.model.save(folder)
        return "a model and its tokeniser, as transformers reads them"

    def _measure(self, finished: FinishedRun, data: Dataset) -> Table:
        policy = finished.model  # first, for it says if the run is not trained
        config = finished.config
        return measure(data, policy, finished.untrained, self._rewards(config), config.seed)

    def _rewards(self, config: Any) -> Callable[[Compared], Tensor]:
        return lambda compared: self.rewards(config, compared)
