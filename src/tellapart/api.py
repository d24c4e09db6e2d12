"""Training and using systems from Python: `tellapart.train` and `tellapart.load`.

    run = tellapart.train("simclr", data="pictures", run="runs/mine", epochs=30)
    run = tellapart.load("runs/mine")
    run.embed("more pictures").vectors, run.search("cat.png"), run.results, run.log, run.report()

The command line is a thin layer over this module.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart import reading, systems
from tellapart.diagnostics import training_warnings
from tellapart.errors import InputError, require_option
from tellapart.evaluation import Table
from tellapart.planning import Plan, PlanOptions, make_plan
from tellapart.report import write_report
from tellapart.runs import FinishedRun, Run, forget_stray_rank, is_first_process
from tellapart.systems.options import check_names, default_data, read_options
from tellapart.training import TrainerOptions, TrainingOptions, as_plain_options

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from tellapart.diagnostics import TrainingWarning
    from tellapart.runs import Embeddings, Hit
    from tellapart.systems import Made, Samples

_logger = logging.getLogger("tellapart")


class Trained:
    """A run folder, and what can be done with it. Made by `train` and `load`.

    A method for what the system cannot do raises `InputError`, which names what it can.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.folder = run.folder
        """Where the run is kept."""
        self.system = run.system
        """The name of the system that was trained."""

    def __repr__(self) -> str:
        return f"Trained({str(self.folder)!r}, {self.system}: {', '.join(self.abilities)})"

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
        return _saved_options(self._run)[0]

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

    def embed(self, x: Any, broken: reading.Broken | None = None) -> Embeddings:
        """Unit vectors, with a name for each; `np.asarray` makes them an array.

        Args:
            x: what the system is of, a thing or several: a file or folder, as on the command line; or, for
                - pictures: Pillow pictures, NumPy arrays or tensors (uint8, or floating-point in [0, 1]; `(n, h, w)`,
                  `(n, h, w, c)` or `(n, c, h, w)`, or of one picture `(h, w)` or `(h, w, c)`), or a list or column of
                  picture files, Pillow pictures or arrays; clip also takes a list or column of texts;
                - sentences: a list or column of them;
                - DNA: the letters of a sequence, or a list or column of such;
                - micrographs: an array or tensor `(h, w)` or `(h, w, 3)`, or a list of these or of files;
                - words: a list or column of them;
                - videos: uint8 arrays, `(h, w, 3)` or `(n, h, w, 3)`; each cell of a frame has a vector;
                - a graph: a `Data` of torch_geometric, or a dict of its tensors.
            broken: what is done with broken items, "skip" or "stop"; by default what the run's training did.

        Raises:
            InputError: something that the system cannot embed.
        """
        return self._use("embed", x, broken=broken)  # type: ignore[no-any-return]

    def search(self, query: Any, k: int = 5) -> list[Hit]:
        """The k items of the run that are most like a query, best first.

        Args:
            query: words for clip; a sentence for bilingual; words for word2vec, such as "king - man + woman"; the name
                of a node for graph; a sequence, or a file with one, for genomics; a place of a video for pixels, such
                as "120,80,60"; a file or the name of a place for microstructure; the name of a pair or an array for
                attention; otherwise a picture, as a file, of Pillow or as an array.
            k: how many, at least 1.

        Raises:
            InputError: a query that the system cannot look for, or k < 1.
        """
        systems.ability(self.system, "search")
        require_option("query", not isinstance(query, str) or bool(query.strip()), "not be empty", repr(query))
        require_option("k", k >= 1, "be at least 1", k)
        return self._use("search", str(query) if isinstance(query, Path) else query, k)  # type: ignore[no-any-return]

    def cluster(self, x: Any, n: int | None = None) -> Made:
        """The groups of all that is in a source, such as the places of micrographs: `save` writes them.

        Args:
            x: as for `embed`.
            n: how many groups, by k-means; by default HDBSCAN finds them.

        Raises:
            InputError: the system does not cluster, something that it cannot embed, or more groups than items.
        """
        systems.ability(self.system, "cluster")
        require_option("n", n is None or n >= 1, "be at least 1", n)
        return self._use("cluster", x, n)  # type: ignore[no-any-return]

    def match(self, a: Any, b: Any) -> Made:
        """Where each pixel of one picture is in another: `flow` and `confidence`, which `save` writes.

        Args:
            a: a picture file; a frame of a video, as "VIDEO:FRAME"; or a uint8 array `(h, w, 3)`.
            b: another.

        Raises:
            InputError: the system does not match, or something is no picture.
        """
        return self._use("match", a, b)  # type: ignore[no-any-return]

    def propagate(self, video: Any, mask: Any) -> Made:
        """The labels of a mask carried through a video: `labels`, a mask a frame, which `save` writes.

        Args:
            video: a video file, a folder of frames, or a uint8 array `(n, h, w, 3)`.
            mask: labels of the first frame's pixels: a grey picture or one with a palette, or a uint8 array `(h, w)`.

        Raises:
            InputError: the system does not propagate, or something is missing, broken or does not fit.
        """
        return self._use("propagate", video, mask)  # type: ignore[no-any-return]

    def evaluate(self, data: str | Path | None = None, broken: reading.Broken | None = None) -> Table:
        """Measure on the run's held-out data, and keep the result in the run; or on other data.

        Args:
            data: other data; by default the run's own.
            broken: what is done with broken items, "skip" or "stop"; by default what the run's training did.

        Raises:
            InputError: the data are missing, broken or changed.
        """
        return self._use("evaluate", None if data is None else str(data), broken=broken)  # type: ignore[no-any-return]

    def sample(self, n: int = 16, seed: int = 0, prompt: str | None = None) -> Samples:
        """New examples of a system that generates.

        Args:
            n: how many, at least 1.
            seed: decides which.
            prompt: what they answer, for a system of answers (dpo); no other takes one.

        Raises:
            InputError: the system does not generate, n < 1, a missing prompt, or one that the system does not take.
        """
        systems.ability(self.system, "sample")
        require_option("n", n >= 1, "be at least 1", n)
        prompted = systems.load(self.system).prompted
        must = "be a text to answer" if prompted else f"be left out: {self.system} answers none"
        require_option("prompt", isinstance(prompt, str) if prompted else prompt is None, must, repr(prompt))
        return self._use("sample", n, seed, *([prompt] if prompted else []))  # type: ignore[no-any-return]

    def score(self, data: str | Path) -> Table:
        """What the trained model thinks of each item of a file: for dpo, the reward of each answer.

        Raises:
            InputError: the system does not score, or the data are missing or broken.
        """
        return self._use("score", str(data))  # type: ignore[no-any-return]

    def export(self, path: str | Path) -> str:
        """Write what was learned in a form that other programs read, and say in words what it is.

        Args:
            path: what to write: for dpo a new folder, which `from_pretrained` of transformers reads; for word2vec a
                `.bin`, a `.txt` or a `.vec`, or one of these with `.gz`.

        Raises:
            InputError: the system does not export, `path` is of another kind, or it cannot be written.
        """
        return self._use("export", Path(path))  # type: ignore[no-any-return]

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
        return write_report(self._run, target, results="evaluate" in self.abilities, gallery="search" in self.abilities)

    def _use(self, ability: str, *arguments: Any, broken: reading.Broken | None = None) -> Any:
        function = systems.ability(self.system, ability)
        require_option("broken", broken in (None, "skip", "stop"), "be skip or stop", broken)
        self._run.check_trained()
        with reading.accounted(broken or self.config.broken) as account:
            found = function(self._finished, *arguments)
            if ability != "search" or account.counts:  # that a query was read goes without saying
                account.tell()
        return found


def train(
    system: str,
    *,
    run: str | Path | None = None,
    trainer: Mapping[str, Any] | None = None,
    resume: bool = False,
    **options: Any,
) -> Trained:
    """Train a system into a run folder, evaluate it, write its report, and return it for use.

    Of several devices each is a process that runs the whole program up to here; all but the first end here.

    Args:
        system: its name, as `tellapart systems` lists them.
        run: the folder to train into; by default `runs/` and the system's name.
        trainer: options of the trainer, such as `{"devices": 2, "precision": "bf16-mixed"}`.
        resume: continue the run where it was interrupted, with its options; begin it if there is none.
        options: the system's options, such as data and epochs, as `tellapart train SYSTEM --help` lists them.

    Raises:
        InputError: a mistake in options, data or folder, or a training that diverged.
        Interrupted: Ctrl-C or SIGTERM came (of `tellapart.training`); the state is saved, and `resume` continues.
    """
    if stray := forget_stray_rank():
        _logger.warning("%s is left over in the environment, and ignored.", stray)
    module = systems.load(system)
    place = Run(Path(run or f"runs/{system}"))
    given = options if trainer is None else {**options, "trainer": trainer}
    check_names(system, given)
    if "data" not in given and (usual := default_data(system)):
        _logger.info("No data are named (--data), so %s trains on its example data, %s.", system, usual)
    resumed = resume and place.has_begun()
    if resumed or (place.exists() and not is_first_process()):
        config, how = _resumed_options(place, system, given)
    else:
        config, how = read_options(system, given)
    if not is_first_process():
        with reading.accounted(config.broken):
            module.train(config, place, how)
        sys.exit()
    if not resumed:
        place.check_free()
    with place.lock():
        with reading.accounted(config.broken):
            module.train(config, place, how)
        trained = Trained(place)
        trained.report()
    return trained


def load(folder: str | Path) -> Trained:
    """A run that was trained before, by `train` or by the command line.

    Raises:
        InputError: there is no such folder, or it is no run.
    """
    return Trained(Run.open(Path(folder)))


def plan(options: PlanOptions, system: str | None = None) -> Plan:
    """What a batch means before training with it, from measurements on this machine that take about five seconds.

    Args:
        options: the batch, and what else is known.
        system: its name; by default moco if there is a queue, else clip.

    Raises:
        InputError: a mistake in the options, or a system that cannot be planned.
    """
    name = system or ("moco" if options.queue else "clip")
    return make_plan(name, systems.ability(name, "plan"), options)


def _saved_options(run: Run) -> tuple[TrainingOptions, TrainerOptions]:
    """The run's options, held to the same grammar as those of a new one."""
    saved, name = run.options(), run.system
    try:
        check_names(name, saved)
    except InputError as error:
        what = str(error).partition(" is no option")[0].strip("`")
        raise InputError(f"{run.config_file}: {what} is no option of this version's {name}. Train again.") from error
    return read_options(name, saved)


def _resumed_options(run: Run, system: str, given: Mapping[str, Any]) -> tuple[TrainingOptions, TrainerOptions]:
    """The saved options of a run that is to be continued, with those given now, which must not contradict them."""
    if run.system != system:
        raise InputError(f"{run.folder}: a run of {run.system}, not of {system}.")
    saved = as_plain_options(*_saved_options(run))
    trainer = {"trainer": {**saved["trainer"], **given.get("trainer", {})}}
    return read_options(system, {**saved, **given, **trainer})
