"""What a system's module declares: its options, how it trains, and what can be done with its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tellapart.export import Encoders, Export, formats

if TYPE_CHECKING:
    from torch import nn

    from tellapart.evaluation import Table
    from tellapart.planning import Planner
    from tellapart.runs import FinishedRun, Found, Parts, Query, Run
    from tellapart.training import TrainerOptions, TrainingOptions

ABILITIES = ("evaluate", "embed", "search", "cluster", "match", "propagate", "sample", "score", "export")


class Samples(Protocol):
    """What a system that generates has generated."""

    def __len__(self) -> int: ...

    def lines(self) -> list[str]:
        """Them as text, a line each, or raise `InputError` if they can only be saved."""

    def save(self, path: Path) -> None:
        """Write them, in the format that the file's name asks for, or raise `InputError`."""


class Made(Protocol):
    """What was found in pictures or videos, to be told in figures and saved."""

    def table(self) -> Table:
        """It in figures."""

    def save(self, path: Path) -> None:
        """Write it, in the format that the file's name asks for, or raise `InputError`."""


@dataclass(frozen=True)
class System:
    """One system. The abilities that it has are the functions given; commands and methods offer these alone.

    All of them raise `InputError` for what is wrong with data, options, run or disk.
    """

    Config: type[TrainingOptions]
    """A frozen dataclass; the docstrings of its fields are the command line's help."""
    train: Callable[[Any, Run, TrainerOptions], None]
    """Called as `train(config, run, trainer)`: begins the run and trains it, from its checkpoint if it has one; if
    it evaluates or searches, keeps results and gallery, too. Raises `Interrupted` if it is asked to stop."""
    make_model: Callable[[Any, Run], nn.Module]
    """Called as `make_model(config, run)`: the model with its first weights, of a run that was trained."""
    own_data: str
    """What a person's own data are, in words, as in "pictures, in a folder"."""
    evaluate: Callable[[FinishedRun, str | None], Table] | None = None
    """Called as `evaluate(finished, data)`: a table of figures, of the run's data or of others."""
    embed: Callable[[FinishedRun, Any], Parts] | None = None
    """Called as `embed(finished, source)`: what a person names or has, in parts that become vectors when asked."""
    search: Callable[[FinishedRun, Iterable[Query], int], list[Found]] | None = None
    """Called as `search(finished, queries, k)`: the k items of the run that match each query best; queries that cannot
    be looked for are broken items."""
    ask: Callable[[FinishedRun, str], list[Query]] | None = None
    """Called as `ask(finished, typed)`: the queries of a file or folder, or what is typed as the only one; whatever
    searches has it."""
    cluster: Callable[[FinishedRun, Any, int | None], Made] | None = None
    """Called as `cluster(finished, source, n)`: all that is in a source in n groups or, for `None`, in as many as it
    finds."""
    grouped_into: tuple[str, ...] = (".csv", ".parquet")
    """The endings of what `cluster` is saved to; "" is a folder."""
    match: Callable[[FinishedRun, Any, Any, int | None], Made] | None = None
    """Called as `match(finished, a, b, height)`: where each place of one picture is in another, both scaled down to a
    height; for `None` to that of training."""
    propagate: Callable[[FinishedRun, Any, Any, int | None], Made] | None = None
    """Called as `propagate(finished, video, mask, height)`: the mask of a video's first frame, carried to all its
    frames; scaled likewise."""
    sample: Callable[..., Samples] | None = None
    """Called as `sample(finished, n, seed)`: n new examples; of a `prompted` system, as `sample(…, prompt)`."""
    prompted: bool = False
    """Whether its samples are answers to a prompt, a text that must be given."""
    score: Callable[[FinishedRun, str], Table] | None = None
    """Called as `score(finished, data)`: a table of the scores that the trained model gives to what is in a file."""
    encoders: Encoders | None = None
    """Called as `encoders(finished)`: what embeds, as functions of tensors, by the kind of items in one word."""
    own_formats: Mapping[str, Export] | None = None
    """By the name of a format of the system's own, what writes a run in it for other programs; the usual one first."""
    query: str = ""
    """What can be searched for, as it is typed."""
    plan: Planner | None = None
    """Called as `plan(batch, queue)`: the sizes of a step's loss, and the loss of random embeddings."""

    @property
    def export(self) -> dict[str, Export] | None:
        """By its name, what writes each format: its own, and for whatever embeds those of `tellapart.export`."""
        found = dict(self.own_formats or {})
        if self.embed is not None:
            found |= formats(self.encoders)
        return found or None

    def abilities(self) -> tuple[str, ...]:
        """Which of `ABILITIES` it has, in their order."""
        return tuple(name for name in ABILITIES if getattr(self, name) is not None)
