"""The systems: each says who is whose counterpart and who else stands in the line-up.

A system is a module with `Config` (a frozen dataclass, whose field docstrings are the command line's
help), `QUERY` and `OWN_DATA` (what to suggest to a person), `terms(model, batch)` (its objective) and
`train(config, run, trainer)`, `evaluate(config, run, data)`, `embed(config, run, source)` and
`search(config, run, query, k)`, which the command line calls. Systems do not import each other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tellapart.evaluation import Table
    from tellapart.runs import Embeddings, Hit, Run
    from tellapart.training import TrainerOptions

NAMES = ("clip", "simclr", "moco", "graph", "genomics", "bilingual")


class System(Protocol):
    """What the command line asks of a system's module."""

    __doc__: str
    Config: Callable[..., Any]
    QUERY: str
    """What can be searched for, as it is typed."""
    OWN_DATA: str
    """What a person's own data are, in words."""

    def train(self, config: Any, run: Run, trainer: TrainerOptions) -> None:
        """Train into the run folder, evaluate, and fill the gallery."""

    def evaluate(self, config: Any, run: Run, data: str | None) -> Table:
        """Measure a trained run."""

    def embed(self, config: Any, run: Run, source: str) -> Embeddings:
        """Embed what a person names."""

    def search(self, config: Any, run: Run, query: str, k: int) -> list[Hit]:
        """What matches a query best."""


def load(name: str) -> System:
    """The system of that name.

    Raises:
        InputError: there is none.

    >>> load("clip").__doc__.splitlines()[0]
    'CLIP: pictures and texts in one space, each finding the other.'
    """
    if name not in NAMES:
        raise InputError(f"system: there is no {name!r}. There are: {', '.join(NAMES)}.")
    module: Any = import_module(f"tellapart.systems.{name}")
    return module  # type: ignore[no-any-return]
