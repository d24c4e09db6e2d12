"""The command line: tellapart systems | train | evaluate | embed | search | report.

A person's mistake ends with exit code 2 and one line on stderr; a traceback is shown only with --debug.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart import systems
from tellapart.errors import InputError, cannot_write

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from tellapart.evaluation import Table
    from tellapart.run import Run


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for a user's mistake, 1 for ours, 128 + signal if stopped.

    >>> main(["search", "no/such/run", "red fruit"])
    2
    """
    arguments = sys.argv[1:] if argv is None else argv
    debug = "--debug" in arguments
    try:
        return _run([word for word in arguments if word != "--debug"])
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _explain(error)
    except KeyboardInterrupt:
        return _say("stopped.", 128 + signal.SIGINT)


def _explain(error: Exception) -> int:
    """Say in one line what went wrong; the exit code."""
    from tellapart.training import Interrupted

    if isinstance(error, Interrupted):
        return _say(f"{error}. Continue with: {_command_to_resume()}", 128 + error.signal_number)
    if isinstance(error, BrokenPipeError):  # the reader of our output left, as in `tellapart … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("tellapart"):
        return _say(f"the package {error.name} is missing. Install it with: pip install 'tellapart[tool]'", 2)
    if isinstance(error, OSError) and not isinstance(error, InputError):
        error = cannot_write(Path(error.filename or "output"), error)
    if isinstance(error, InputError):
        return _say(" ".join(str(error).split()), 2)
    return _say(
        f"internal error, {type(error).__name__}: {error}. Run it again with --debug and report what it says.", 1
    )


def _say(message: str, code: int) -> int:
    print(f"tellapart: {message}", file=sys.stderr)
    return code


def _command_to_resume() -> str:
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["tellapart", *words, "--resume"])


def _run(arguments: list[str]) -> int:
    parser = _parser()
    if not arguments:
        parser.print_help()
        return 0
    options = parser.parse_args(arguments)
    command = options.command
    given = options[command]
    if command == "systems":
        return _systems()
    if command == "train":
        return _train(given.system, given[given.system], arguments)
    run = _open(Path(given.run))
    system = systems.load(run.system)
    config = system.Config(**{k: v for k, v in run.options().items() if k != "trainer"})
    if command == "evaluate":
        _show(system.evaluate(config, run, given.data))
    elif command == "embed":
        from tellapart.data.gallery import check_suffix

        check_suffix(output := Path(given.output))
        embeddings = system.embed(config, run, given.input)
        embeddings.save(output)
        n, d = embeddings.vectors.shape
        print(f"{output}: {n} embeddings of length {d}")
    elif command == "search":
        _search(system, config, run, given.query, given.k)
    else:
        from tellapart.report import write_report

        print(write_report(run, None if given.output is None else Path(given.output)))
    return 0


def _systems() -> int:
    for name in systems.NAMES:
        print(f"{name:12} {(systems.load(name).__doc__ or '').splitlines()[0]}")
    return 0


def _train(name: str, options: Namespace, arguments: list[str]) -> int:
    from tellapart.report import write_report
    from tellapart.run import Run, is_first_process

    system, folder = systems.load(name), Path(options.run)
    run = Run(folder)
    if run.exists() and (options.resume or not is_first_process()):
        options = _resumed(name, run, arguments)
    config, trainer = _config(system, options), _trainer(options)
    if not is_first_process():
        system.train(config, run, trainer)
        return 0
    if not (options.resume and run.exists()):
        run = Run.create(folder, name, _as_plain(config) | {"trainer": _as_plain(trainer)})
    with run.lock():
        if run.is_trained():
            print(f"{folder} is trained already; delete it to train anew.")
        system.train(config, run, trainer)
        report = write_report(run, None)
    from tellapart.evaluation import Table

    _show(Table(**run.results()))
    print(f"Look:   open {report} in a browser")
    print(f'Search: tellapart search {folder} "red fruit"    Your own pictures: tellapart train {name} --data FOLDER')
    return 0


def _resumed(name: str, run: Run, arguments: list[str]) -> Namespace:
    """The options of a run that is to be continued: its own; those given now must not contradict them."""
    if run.system != name:
        raise InputError(f"{run.folder}: a run of {run.system}, not of {name}.")
    position = arguments.index(name)
    words = [*arguments[: position + 1], "--config", str(run.config_file), *arguments[position + 1 :]]
    options: Namespace = _parser().parse_args(words)["train"][name]
    system = systems.load(name)
    now = _as_plain(_config(system, options)) | {"trainer": _as_plain(_trainer(options))}
    changed = [
        f"{key} was {value}, now {now.get(key)}" for key, value in run.options().items() if now.get(key) != value
    ]
    if changed:
        raise InputError(f"{run.folder}: cannot resume with other options ({'; '.join(changed)}). Use another --run.")
    return options


def _as_plain(options: Any) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(options)


def _config(system: systems.System, options: Namespace) -> Any:
    import dataclasses

    names = {field.name for field in dataclasses.fields(system.Config)}  # type: ignore[arg-type]
    return system.Config(**{name: options[name] for name in names})


def _trainer(options: Namespace) -> Any:
    from tellapart.training import TrainerOptions

    return TrainerOptions(**options.trainer.as_dict())


def _open(folder: Path) -> Run:
    from tellapart.run import Run

    return Run.open(folder)


def _search(system: systems.System, config: Any, run: Run, query: str, k: int) -> None:
    from tellapart.errors import require_option
    from tellapart.evaluation import Table

    require_option("query", bool(query.strip()), "not be empty", repr(query))
    require_option("k", k >= 1, "be at least 1", k)
    hits = system.search(config, run, query, k)
    rows: list[list[str | float]] = [
        [hit.name, hit.score, hit.text, "held out" if hit.held_out else "seen in training"] for hit in hits
    ]
    header = ["picture", "score", "its own text", ""]
    _show(Table(f"Pictures for “{query}”", header, rows, ["", ".3f", "", ""], []))


def _show(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(title=Text(table.title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, name in enumerate(table.header):
        numeric = any(not isinstance(row[column], str) for row in table.rows)
        shown.add_column(name, justify="right" if numeric else "left")
    for cells in table.cells():
        shown.add_row(*(Text(cell) for cell in cells))  # as text, so that no caption is read as markup
    console = Console()
    console.print(shown)
    for note in table.notes:
        console.print(Text(note, style="dim"))


def _parser() -> ArgumentParser:
    from tellapart.parser import build

    return build()
