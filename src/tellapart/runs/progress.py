"""How far a long command is: a bar on a terminal; elsewhere a line now and then."""

from __future__ import annotations

import logging
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_SILENT = 30.0  # seconds between two lines
_logger = logging.getLogger("tellapart")


class Progression:
    """What is shown of a command's progress inside a `with` block.

    Args:
        what: is being done, as in "embedding".
        is_shown: False shows nothing, as in all processes but the first.
    """

    def __init__(self, what: str, is_shown: bool = True) -> None:
        self.what, self.is_shown = what, is_shown
        self.began = self.said = time.monotonic()
        console = Console(stderr=True)
        columns = BarColumn(bar_width=14), TextColumn("{task.description}"), TimeRemainingColumn()
        self.bar = Progress(*columns, console=console, transient=True, disable=not (is_shown and console.is_terminal))
        self.task = self.bar.add_task(what, total=None)

    def __enter__(self) -> Progression:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.stop()

    def show(self, done: str, share: float | None) -> None:
        """Tell how much is done, in words, and which share of all that is, if it is known."""
        total = None if share is None else 1.0
        self.bar.update(self.task, completed=share or 0.0, total=total, description=f"{self.what}: {done}")
        now = time.monotonic()
        if self.is_shown and self.bar.disable and now - self.said >= _SILENT:
            left = f", about {(now - self.began) * (1 - share) / share / 60:.0f} min left" if share else ""
            _logger.info("%s: %s%s", self.what, done, "" if share is None else f", {share:.0%}{left}")
            self.said = now
