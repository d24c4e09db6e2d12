"""What each command of the command line prints; the work is done by `tellapart.api`."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tellapart import api, systems
from tellapart.cli import mistakes, parser, rewrite
from tellapart.cli.show import as_table_of_hits, beginning, columns_of, columns_of_hits, show, show_lines, shown
from tellapart.errors import InputError, exists
from tellapart.explain import write_explanation
from tellapart.heads import write_heads
from tellapart.planning import PlanOptions, as_table
from tellapart.reading import counted
from tellapart.runs import Run, check_rows_ending, write_rows
from tellapart.systems.options import default_data
from tellapart.training import Interrupted

if TYPE_CHECKING:
    from jsonargparse import Namespace


def run(arguments: list[str]) -> None:
    """Run one command line.

    Raises:
        InputError: a user's mistake.
        Interrupted: training was asked to stop.
    """
    arguments = rewrite.with_underscores(arguments)
    if parser.asks_for_short_help(arguments):
        print(parser.short_help(arguments[1]), end="")
        return
    grammar = parser.build()
    if not arguments:
        grammar.print_help()
        return
    arguments = rewrite.with_kept_options(arguments)
    rewrite.check_config_files(arguments)
    try:
        options = grammar.parse_args(arguments)
    except InputError as error:
        raise InputError(mistakes.told(str(error), arguments, grammar)) from error
    given = options[options.command]
    if options.command == "systems":
        _systems()
    elif options.command == "completion":
        print(parser.completion(given.shell))
    elif options.command == "plan":
        asked = given.as_dict()
        system = asked.pop("system")
        show(as_table(api.plan(PlanOptions(**asked), system)))
    elif options.command == "train":
        _train(given.system, grammar.parse_args(arguments, defaults=False)["train"][given.system])
    elif options.command == "explain":
        print(shown(write_explanation(Path(given.output))))
    elif options.command == "attention":
        _attention(given)
    else:
        _use(options.command, given)


@contextmanager
def told() -> Iterator[None]:
    """Print what the package logs, such as what was read and what was left out, a line each."""
    logger, handler = logging.getLogger("tellapart"), _Printed(sys.stdout)
    handler.setFormatter(_OneLine())
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class _Printed(logging.StreamHandler[TextIO]):
    """Prints what is logged; once the reader of our output has left, as in `tellapart … | head`, nothing more."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging calls it
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return shown(record.getMessage())


def program() -> str:
    """How this program was called, so that what we suggest can be typed as it stands."""
    return "tellapart" if shutil.which("tellapart") or Path(sys.argv[0]).name != "tellapart" else sys.argv[0]


def typed(*words: str | Path) -> str:
    """A command of this program as it can be typed."""
    return shlex.join([program(), *map(str, words)])


def _systems() -> None:
    for name in systems.NAMES:
        print(f"{name:14} {systems.describe(name)}")
        print(f"{'':14} {', '.join(('train', *systems.load(name).abilities()))}")


def _train(name: str, given: Namespace) -> None:
    """Train with the options that were given, without defaults."""
    options = given.as_dict()
    options.pop("config", None)
    folder = Path(options.pop("run", f"runs/{name}"))
    resume = options.pop("resume", False)
    before = _epochs_of(folder)
    try:
        trained = api.train(name, run=folder, resume=resume, **options)
    except Interrupted as error:
        error.again = Run(folder).again()
        raise
    if trained.config.epochs == before:
        print(
            shown(f"{folder} is trained already, for {before} epochs; delete it to train anew, or give more --epochs.")
        )
    system = systems.load(name)
    if system.evaluate is not None:
        show(trained.results)
    for warning in trained.warnings:
        print(f"Warning: {warning.found} {warning.remedy}")
    search = f", or search: {typed('search', folder)} {system.query}" if system.search is not None else ""
    sample = f', or sample: {typed("sample", folder)} "the beginning"' if system.prompted else ""
    print(shown(f"Open {folder / 'report.html'} in a browser{search}{sample}"))
    if str(trained.config.data) == default_data(name):
        print(f"Your own {system.own_data}: {program()} train {name} --data DATA --run runs/mine")


def _epochs_of(folder: Path) -> int:
    """How many epochs a run is trained for; 0 if it is not trained to its end."""
    return api.load(folder).config.epochs if Run(folder).is_trained() else 0


def _attention(given: Namespace) -> None:
    written = write_heads(Path(given.model), given.text, Path(given.output), given.tokens)
    for note in written.notes:
        print(note)
    print(shown(written.path))


def _use(command: str, given: Namespace) -> None:
    """The commands that need a trained run.

    Raises:
        InputError: there is no such run. If another argument is one, they were probably exchanged.
    """
    try:
        trained = api.load(given.run)
    except InputError as error:
        for name in ("query", "input", "data", "output"):
            other = getattr(given, name, None)
            if other and _is_run(other) and not _is_run(given.run):
                raise InputError(f"{given.run}: no run folder, but {other} is one. Name the run first.") from error
        raise
    _USES[command](trained, given)


def _is_run(name: str) -> bool:
    return exists(name) and Run(Path(name)).has_begun()


def _report(trained: api.Trained, given: Namespace) -> None:
    print(shown(trained.report(given.output)))


def _evaluate(trained: api.Trained, given: Namespace) -> None:
    show(trained.evaluate(given.data, given.broken, given.columns))


def _embed(trained: api.Trained, given: Namespace) -> None:
    written = trained.embed_into(given.output, given.input, given.broken)
    if written is not None:  # of several processes, this is the first
        n, d = written
        print(shown(f"{given.output}: {n} embeddings of length {d}"))


def _search(trained: api.Trained, given: Namespace) -> None:
    if given.output is not None:
        check_rows_ending(Path(given.output))
    found = trained.search_many(given.query, given.k, given.broken)
    if given.output is None:
        for query, hits in found:
            show(as_table_of_hits(query, hits))
        return
    columns = columns_of_hits(found)
    write_rows(Path(given.output), columns)
    print(shown(f"{given.output}: {counted(len(found), 'query')}, {counted(len(columns['rank']), 'hit')}"))


def _cluster(trained: api.Trained, given: Namespace) -> None:
    if given.output is not None:
        systems.ability(trained.system, "cluster")
        check_rows_ending(Path(given.output), systems.load(trained.system).grouped_into)
    clusters = trained.cluster(given.input, given.groups)
    table = clusters.table()
    show(table)
    if given.output is not None:
        clusters.save(Path(given.output))
        print(shown(f"{given.output}: {table.title}"))


def _match(trained: api.Trained, given: Namespace) -> None:
    found = trained.match(given.a, given.b, given.height)
    if given.output is not None:
        found.save(Path(given.output))
    show(found.table())
    if given.output is not None:
        print(shown(f"{given.output}: where each pixel of {given.a} is in {given.b}"))


def _propagate(trained: api.Trained, given: Namespace) -> None:
    carried = trained.propagate(given.video, given.mask, given.height)
    carried.save(Path(given.output))
    show(carried.table())
    print(shown(f"{given.output}: the labels of each frame"))


def _sample(trained: api.Trained, given: Namespace) -> None:
    samples = trained.sample(given.n, given.seed, given.prompt)
    if given.output is None:
        show_lines(samples.lines())
    else:
        samples.save(Path(given.output))
        print(shown(f"{given.output}: {len(samples)} samples"))


def _score(trained: api.Trained, given: Namespace) -> None:
    if given.output is not None:
        systems.ability(trained.system, "score")
        check_rows_ending(Path(given.output))
    table = trained.score(given.data, given.columns)
    if given.output is None:
        show(beginning(table))
        return
    write_rows(Path(given.output), columns_of(table))
    print(shown(f"{given.output}: {counted(len(table.rows), 'row')}"))


def _export(trained: api.Trained, given: Namespace) -> None:
    print(shown(f"{given.output}: {trained.export(given.output, given.format)}"))


_USES = {
    "report": _report,
    "evaluate": _evaluate,
    "embed": _embed,
    "search": _search,
    "cluster": _cluster,
    "match": _match,
    "propagate": _propagate,
    "sample": _sample,
    "score": _score,
    "export": _export,
}
