"""What a run that was trained tells of itself: options, weights, log, results, warnings and report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart import _html, reading, systems
from tellapart.diagnostics import training_warnings
from tellapart.errors import InputError, require_option
from tellapart.evaluation import Table
from tellapart.progress import stage
from tellapart.report import write_report
from tellapart.runs import FinishedRun, Run, summary
from tellapart.systems.options import check_names, read_options
from tellapart.training import TrainerOptions, TrainingOptions

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from tellapart.diagnostics import TrainingWarning


class Record:
    """A run folder, and what was kept in it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.folder = run.folder
        """Where the run is kept."""
        self.system = run.system
        """The name of the system that was trained."""

    def __repr__(self) -> str:
        head = f"Trained({str(self.folder)!r}, {self.system}: {', '.join(self.abilities)})"
        return "\n    ".join([head, *(f"{name}: {value}" for name, value in summary(self._run).items())])

    def _repr_html_(self) -> str:
        told = {"system": self.system, "abilities": ", ".join(self.abilities)} | summary(self._run)
        return _html.facts(str(self.folder), told)

    @property
    def abilities(self) -> tuple[str, ...]:
        """What the system can do: of evaluate, embed, search, cluster, match, propagate, sample, score and export."""
        return systems.load(self.system).abilities()

    @cached_property
    def config(self) -> TrainingOptions:
        """The options of the training, but for those of the trainer.

        Raises:
            InputError: the file that holds them is damaged, or of another version.
        """
        return saved_options(self._run)[0]

    @cached_property
    def _finished(self) -> FinishedRun:
        return FinishedRun(self._run, self.config, systems.load(self.system).make_model)

    @property
    def model(self) -> nn.Module:
        """The trained model, in eval mode and on the CPU.

        Raises:
            InputError: training is not complete, or the weights are damaged.
        """
        model: nn.Module = self._finished.model
        return model

    @property
    def results(self) -> Table:
        """What evaluation found when the run was trained.

        Raises:
            InputError: there are no results, or the file is damaged.
        """
        systems.ability(self.system, "evaluate")
        return Table.from_dict(self._run.results())

    @property
    def log(self) -> pd.DataFrame | list[dict[str, float]]:
        """The log, an entry a step: a data frame where pandas is installed, else a list of dictionaries."""
        entries = self._run.log()
        try:
            import pandas as pd
        except ModuleNotFoundError:
            return entries
        return pd.DataFrame(entries)

    @property
    def warnings(self) -> list[TrainingWarning]:
        """What the log warns of."""
        return training_warnings(self._run.log())

    def report(self, output: str | Path | None = None) -> Path:
        """Write the report of the run, a page that opens offline, and return where it is: by default in the run folder.

        Raises:
            InputError: training is not complete, or the page cannot be written.
        """
        target = None if output is None else Path(output)
        has_results, has_gallery = "evaluate" in self.abilities, "search" in self.abilities
        with stage("writing the report"):
            return write_report(self._run, target, results=has_results, gallery=has_gallery)

    def _use(
        self,
        ability: str,
        *arguments: Any,
        then: Callable[[Any], Any] | None = None,
        broken: reading.Broken | None = None,
        columns: str | None = None,
    ) -> Any:
        """What an ability gives or, where it gives parts that are made when asked for, what `then` makes of them."""
        shown = "" if ability == "search" else ability  # that a query is read goes without saying
        return self._call(
            shown, systems.ability(self.system, ability), *arguments, then=then, broken=broken, columns=columns
        )

    def _call(
        self,
        shown: str,
        function: Callable[..., Any],
        *arguments: Any,
        then: Callable[[Any], Any] | None = None,
        broken: reading.Broken | None = None,
        columns: str | None = None,
    ) -> Any:
        require_option("broken", broken in (None, "skip", "stop"), "be skip or stop", broken)
        self._run.check_trained()
        with reading.accounted(broken or self.config.broken) as account:
            with stage(shown) if shown else nullcontext():
                found = function(self._finished_for(columns), *arguments)
                found = found if then is None else then(found)
            if found is None:  # it is another process's to tell
                return None
            if shown or account.counts:
                account.tell()
        return found

    def _finished_for(self, columns: str | None) -> FinishedRun:
        """The finished run, which reads tables with these columns, if any are named."""
        if columns is None:
            return self._finished
        known = hasattr(self.config, "columns")
        require_option("columns", known, f"be left out: {self.system} has no columns to name", repr(columns))
        return replace(self._finished, config=replace(self.config, columns=columns))  # type: ignore[call-arg]


def saved_options(run: Run) -> tuple[TrainingOptions, TrainerOptions]:
    """The run's options, held to the same grammar as those of a new one."""
    saved, name = run.options(), run.system
    try:
        check_names(name, saved)
    except InputError as error:
        what = str(error).partition(" is no option")[0].strip("`")
        raise InputError(f"{run.config_file}: {what} is no option of this version's {name}. Train again.") from error
    return read_options(name, saved)
