"""How far a long task is: a bar on a terminal; elsewhere a plain line on stderr now and then.

Whatever takes long has a `stage`, and loops inside say how far they are by `each`:

    with stage("measuring"):
        for chunk in each(chunks):
            ...
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
EVERY = 30.0
"""Seconds between two lines, at least."""


class Shown(Protocol):
    """A task that is shown while it goes on."""

    def update(self, done: int, total: int, said: str = "") -> None:
        """Say how far it is, and what else there is to say."""

    def stop(self) -> None:
        """Say no more."""


class Lines:
    """Plain lines, for a file, a pipe or a batch system: the first after 30 seconds, and no more than one in so many.

    >>> Lines("measuring").line(20, 80, seconds=60)
    'measuring: 20 of 80, about 3 min left'
    """

    def __init__(self, what: str, done: int = 0) -> None:
        self.what, self.already = what, done
        self.started = self.last = time.monotonic()
        self.known: tuple[int, int, str] | None = None

    def update(self, done: int, total: int, said: str = "") -> None:
        """Note how far it is; write a line if one is due."""
        if self.known is not None and done < self.known[0]:  # another loop has begun
            self.started, self.already = time.monotonic(), done
        self.known = done, total, said
        self.write_if_due()

    def write_if_due(self) -> None:
        """Write a line if the last is long enough ago."""
        now = time.monotonic()
        if now - self.last < EVERY:
            return
        self.last, seconds = now, now - self.started
        line = f"{self.what}, {duration(seconds)} so far" if self.known is None else self.line(*self.known, seconds)
        print(line, file=sys.stderr, flush=True)

    def line(self, done: int, total: int, said: str = "", seconds: float = 0.0) -> str:
        """How far, what is said of it, and how long it will still take, as it went since it began or was resumed."""
        new = done - self.already
        left = f", about {duration(seconds / new * (total - done))} left" if new > 0 and done < total else ""
        return f"{self.what}: {done} of {total}{left}{' · ' * bool(said)}{said}"

    def stop(self) -> None:
        """Nothing is left to be done."""


class Bar:
    """A bar, on a terminal or in a notebook."""

    def __init__(self, what: str, done: int = 0, total: int | None = None, *, passes: bool = False) -> None:
        """Show it. If it `passes`, nothing of it stays when it stops."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        time_column = TimeElapsedColumn() if passes else TimeRemainingColumn(elapsed_when_finished=True)
        told = TextColumn("{task.fields[count]}"), TextColumn("{task.description}")
        self.what, console = what, Console(stderr=True)
        self.progress: Progress = Progress(
            BarColumn(bar_width=14), *told, time_column, console=console, transient=passes
        )
        self.task = self.progress.add_task(
            what, completed=done, total=total, count="" if total is None else f"{done}/{total}"
        )
        self.progress.start()

    def update(self, done: int, total: int, said: str = "") -> None:
        """Move it."""
        text = said or self.what
        self.progress.update(self.task, completed=done, total=total, count=f"{done}/{total}", description=text)

    def stop(self) -> None:
        """Leave it as it is."""
        self.progress.stop()


def has_bars() -> bool:
    """Whether stderr is a terminal, or this is a notebook."""
    from rich.console import Console

    console = Console(stderr=True)
    return console.is_terminal or console.is_jupyter


_stage: ContextVar[Shown | None] = ContextVar("tellapart_stage", default=None)


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Show that this goes on, in words, such as "measuring"; inside another stage that is said there already."""
    if _stage.get() is not None:
        yield
        return
    shown: Bar | Lines = Bar(what, passes=True) if has_bars() else Lines(what)
    token, is_over = _stage.set(shown), threading.Event()
    writing = None
    if isinstance(shown, Lines):
        writing = threading.Thread(target=_keep_writing, args=(shown, is_over), daemon=True)
        writing.start()
    try:
        yield
    finally:
        is_over.set()
        if writing is not None:
            writing.join()  # a line that was begun is ended: afterwards stderr may be closed
        _stage.reset(token)
        shown.stop()


def _keep_writing(lines: Lines, is_over: threading.Event) -> None:
    while not is_over.wait(EVERY):
        lines.write_if_due()


def each(items: Sequence[T]) -> Iterator[T]:
    """The same items in turn; the stage around, if there is one, says how many are done.

    >>> [2 * item for item in each([1, 2, 3])]
    [2, 4, 6]
    """
    shown = _stage.get()
    for done, item in enumerate(items, 1):
        yield item
        if shown is not None:
            shown.update(done, len(items))


def duration(seconds: float) -> str:
    """Seconds in the unit in which they are read.

    >>> [duration(seconds) for seconds in (8, 150, 9000)]
    ['8 s', '2 min', '2.5 h']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
