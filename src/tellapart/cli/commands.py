"""What each command of the command line does."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from tellapart import systems
from tellapart.cli import parser
from tellapart.diagnostics import training_warnings
from tellapart.errors import InputError, require_option
from tellapart.evaluation import Table
from tellapart.explain import write_explanation
from tellapart.planning import PlanOptions, as_table, make_plan
from tellapart.report import write_report
from tellapart.runs import Run, check_suffix, is_first_process
from tellapart.training import TrainerOptions

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from tellapart.runs import Hit

_WIDE = 200
_JOINERS = "\u200d\ufe0f"  # not printable by themselves, but parts of emoji


def run(arguments: list[str]) -> None:
    """Run one command line.

    Raises:
        InputError: a user's mistake.
        Interrupted: training was asked to stop.
    """
    grammar = parser.build()
    if not arguments:
        grammar.print_help()
        return
    options = grammar.parse_args(arguments)
    given = options[options.command]
    if options.command == "systems":
        _systems()
    elif options.command == "plan":
        _show(as_table(make_plan(PlanOptions(**given.as_dict()))))
    elif options.command == "train":
        _train(given.system, given[given.system], arguments)
    elif options.command == "report":
        print(write_report(Run.open(Path(given.run)), None if given.output is None else Path(given.output)))
    elif options.command == "explain":
        print(write_explanation(Path(given.output)))
    else:
        _use(options.command, given)


def program() -> str:
    """How this program was called, so that what we suggest can be typed as it stands."""
    return "tellapart" if shutil.which("tellapart") or Path(sys.argv[0]).name != "tellapart" else sys.argv[0]


def _systems() -> None:
    for name in systems.NAMES:
        print(f"{name:12} {(systems.load(name).__doc__ or '').splitlines()[0]}")


def _train(name: str, given: Namespace, arguments: list[str]) -> None:
    system, folder = systems.load(name), Path(given.run)
    run = Run(folder)
    resumed = given.resume and run.has_begun()
    if resumed or (run.exists() and not is_first_process()):
        given = _resumed(name, run, arguments)
    config, trainer = _options(system, given)
    if not is_first_process():
        system.train(config, run, trainer)
        return
    if not resumed:
        run.check_free()
    with run.lock():
        if not resumed:
            run.begin(name, _plain(config, trainer))
        if run.is_trained():
            print(f"{folder} is trained already; delete it to train anew.")
        system.train(config, run, trainer)
        report = write_report(run, None)
    _show(Table.from_dict(run.results()))
    for warning in training_warnings(run.log()):
        print(f"Warning: {warning.found} {warning.remedy}")
    print(f"Open {report} in a browser, or search: {program()} search {folder} {system.QUERY}")
    print(f"Your own {system.OWN_DATA}: {program()} train {name} --data DATA --run runs/mine")


def _resumed(name: str, run: Run, arguments: list[str]) -> Namespace:
    """The options of a run that is to be continued: its own; those given now must not contradict them."""
    if run.system != name:
        raise InputError(f"{run.folder}: a run of {run.system}, not of {name}.")
    after_name = arguments.index(name) + 1
    words = [*arguments[:after_name], "--config", str(run.config_file), *arguments[after_name:]]
    given: Namespace = parser.build().parse_args(words)["train"][name]
    now = _plain(*_options(systems.load(name), given))
    changed = [
        f"{key} was {value}, now {now.get(key)}" for key, value in run.options().items() if now.get(key) != value
    ]
    if changed:
        raise InputError(f"{run.folder}: cannot resume with other options ({'; '.join(changed)}). Use another --run.")
    return given


def _options(system: systems.System, given: Namespace) -> tuple[Any, TrainerOptions]:
    names = [field.name for field in dataclasses.fields(system.Config)]  # type: ignore[arg-type]
    return system.Config(**{name: given[name] for name in names}), TrainerOptions(**given.trainer.as_dict())


def _plain(config: Any, trainer: TrainerOptions) -> dict[str, Any]:
    return dataclasses.asdict(config) | {"trainer": dataclasses.asdict(trainer)}


def _use(command: str, given: Namespace) -> None:
    """The commands that need a trained run and its system."""
    run = Run.open(Path(given.run))
    system = systems.load(run.system)
    config = _saved_config(system, run)
    if command == "evaluate":
        _show(system.evaluate(config, run, given.data))
    elif command == "embed":
        output = Path(given.output)
        check_suffix(output)
        embeddings = system.embed(config, run, given.input)
        embeddings.save(output)
        n, d = embeddings.vectors.shape
        print(f"{output}: {n} embeddings of length {d}")
    else:
        require_option("query", bool(given.query.strip()), "not be empty", repr(given.query))
        require_option("k", given.k >= 1, "be at least 1", given.k)
        _show(_found(given.query, system.search(config, run, given.query, given.k)))


def _found(query: str, hits: list[Hit]) -> Table:
    said = {"its own text": [hit.text for hit in hits], "label": [hit.label for hit in hits]}
    columns = {name: [x for x in column if x is not None] for name, column in said.items() if None not in column}
    rows: list[list[str | float]] = [
        [hit.name, hit.score, *texts, "held out" if hit.held_out else "seen in training"]
        for hit, *texts in zip(hits, *columns.values(), strict=True)
    ]
    formats = ["", ".3f", *("" for _ in columns), ""]
    kind = hits[0].kind
    return Table(f"{kind.capitalize()}s for “{query}”", [kind, "score", *columns, ""], rows, formats, [])


def _saved_config(system: systems.System, run: Run) -> Any:
    """The run's options, held to the grammar like those of a command line."""
    known = {field.name for field in dataclasses.fields(system.Config)} | {"trainer"}  # type: ignore[arg-type]
    if strange := set(run.options()) - known:
        names = ", ".join(sorted(strange))
        raise InputError(f"{run.config_file}: {names} is no option of this version's {run.system}. Train again.")
    given = parser.build().parse_args(["train", run.system, "--config", str(run.config_file)])
    return _options(system, given["train"][run.system])[0]


def _show(table: Table) -> None:
    shown = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, name in enumerate(table.header):
        numeric = any(not isinstance(row[column], str) for row in table.rows)
        shown.add_column(name, justify="right" if numeric else "left")
    for cells in table.cells():
        shown.add_row(*map(_plain_text, cells))
    console = _Console()
    if not console.is_terminal:
        console = _Console(width=_WIDE)  # one line a row for whatever program reads it
    console.print(_plain_text(table.title), style="bold")
    console.print(shown)
    for note in table.notes:
        console.print(Text(note, style="dim"))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # for main to judge, where rich would end the program


def _plain_text(cell: str) -> Text:
    """A cell as text: nothing in it is read as markup, and nothing in it commands the terminal."""
    return Text("".join(letter if letter.isprintable() or letter in _JOINERS else " " for letter in cell))
