"""What can be done with a trained generator: measure it, and draw from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from tellapart.domains.generated.mixture import MIXTURES
from tellapart.domains.generated.pictures import make_picture_players, picture_samples
from tellapart.domains.generated.players import Players
from tellapart.domains.generated.points import make_point_players, point_samples
from tellapart.progress import stage
from tellapart.runs import FinishedRun, Picture, Run, is_first_process, save_pictures

if TYPE_CHECKING:
    from torch import Tensor

    from tellapart.domains.generated.options import GeneratorOptions
    from tellapart.domains.generated.samples import PictureSamples, PointSamples
    from tellapart.evaluation import Table


class Rows(Protocol):
    """Training examples, in the size that networks expect."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> Tensor: ...


class Data(Protocol):
    """Real examples, and how generated ones are measured and shown."""

    @property
    def training(self) -> Rows:
        """Those to train on."""

    @property
    def unseen(self) -> Rows:
        """Those that training never sees."""

    def watch(self, players: Players, /) -> dict[str, float]:
        """What the log says of generated examples, now and then."""

    def measure(self, before: Players, after: Players, scored: bool) -> Table:
        """Figures before and after training; with `scored`, also of the critic's scores."""

    def pictures(self, players: Players) -> list[Picture]:
        """The training's course, for the report."""


@dataclass(frozen=True)
class Commands:
    """What can be done with the runs of a system that generates.

    Args:
        outputs: called as `outputs(config)`: how many numbers the critic says of an example; 1 if it is a score.
        load: called as `load(config, run, source)`: a run's own data or, for a source, others of the same kind.
    """

    outputs: Callable[[Any], int]
    load: Callable[[Any, Run, str | None], Data]

    def make_model(self, config: GeneratorOptions, run: Run) -> Players:
        """Both players with their first weights.

        Raises:
            InputError: the run is damaged.
        """
        outputs = self.outputs(config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            if config.data in MIXTURES:
                return make_point_players(config, outputs)
            return make_picture_players(config, outputs, run.noted("side"), run.noted("channels"))

    def finish(self, config: GeneratorOptions, run: Run, data: Data) -> None:
        """Measure a run that was just trained, and keep pictures of its course; of several processes the first does."""
        if not is_first_process():
            return
        finished = FinishedRun(run, config, self.make_model)
        save_pictures(run.pictures, data.pictures(finished.model))
        with stage("measuring"):
            run.save_results(self._measure(finished, data).as_dict())

    def evaluate(self, finished: FinishedRun, source: str | None) -> Table:
        """Measure on the run's held-out data, and keep the result with it; or on other data.

        Raises:
            InputError: the data are missing, broken, changed or of another kind.
        """
        finished.run.check_trained()
        table = self._measure(finished, self.load(finished.config, finished.run, source))
        if source is None:
            finished.run.renew_results(table.as_dict())
        return table

    def sample(self, finished: FinishedRun, n: int, seed: int) -> PointSamples | PictureSamples:
        """n generated examples."""
        drawn, name = finished.model.draw(n, seed), finished.config.data
        return point_samples(name, drawn) if name in MIXTURES else picture_samples(drawn)

    def _measure(self, finished: FinishedRun, data: Data) -> Table:
        return data.measure(finished.untrained, finished.model, self.outputs(finished.config) == 1)
