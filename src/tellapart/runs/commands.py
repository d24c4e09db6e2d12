"""Evaluating, embedding and searching, once for all systems with a gallery of embeddings in their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch

from tellapart import reading
from tellapart.errors import InputError
from tellapart.progress import stage
from tellapart.runs.finished import FinishedRun, MakeModel
from tellapart.runs.gallery import Gallery, Hit
from tellapart.runs.groups import Groups
from tellapart.runs.index import Approximate, Exact, nearest_of
from tellapart.runs.parts import Parts, gathered
from tellapart.runs.pictures import Picture, save_pictures
from tellapart.runs.ranks import is_first_process
from tellapart.runs.run import Run

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.evaluation import Table


class Measurable(Protocol):
    """Data of a run, or other data, as they are measured and shown. `before` and `after` are what embeds them."""

    def measure(self, before: Any, after: Any) -> Table:
        """Guessing and simple ways, what embeds before training and after it, on data that training never saw."""

    def gallery(self, after: Any) -> Gallery:
        """What search and report look through."""


class Query(NamedTuple):
    """What is looked for, and what it is called."""

    name: str
    value: Any


class Found(NamedTuple):
    """What a query found, best first."""

    query: str
    hits: list[Hit]


@dataclass(frozen=True)
class Commands:
    """What can be done with the runs of a system, put together from what its domain knows how to do.

    Each method takes a finished run first, and raises `InputError` unless it is trained and undamaged.
    """

    make_model: MakeModel
    encoder: Callable[[Any], Any]
    """What of a model embeds, in the form in which `load`, `read` and `find` expect it."""
    load: Callable[[Any, Run, str | None], Measurable]
    """Called as `load(config, run, source)`: data of that source or, for `None`, the run's own."""
    read: Callable[[FinishedRun, Any, Any], Parts]
    """Called as `read(finished, encoder, source)`: all that is in a source, in parts to be embedded."""
    ask: Callable[[FinishedRun, str], list[Query]]
    """Called as `ask(finished, typed)`: the queries of a file or folder; what is none is one query itself."""
    find: Callable[[FinishedRun, Gallery, Any], Float[Tensor, " d"]]
    """Called as `find(finished, gallery, query)`: the embedding of a query."""

    can_move: bool = True
    """Whether `load` reads the run's own data from `config.data` each time, so that they may have moved."""
    draw: Callable[[Any, Any, Any], list[Picture]] | None = None
    """Called as `draw(config, data, encoder)`: pictures of what was found, for the report; or there are none."""

    def finish(self, config: Any, run: Run, data: Measurable) -> None:
        """Fill the gallery of a run that was just trained and measure it; of several processes the first does."""
        if not is_first_process():
            return
        finished = FinishedRun(run, config, self.make_model)
        before, after = self._encoders(finished)
        with stage("embedding all data"):
            data.gallery(after).save(run.gallery)
        if self.draw is not None:
            with stage("drawing pictures"):
                save_pictures(run.pictures, self.draw(config, data, after))
        with stage("measuring"):
            run.save_results(data.measure(before, after).as_dict())

    def evaluate(self, finished: FinishedRun, data: str | None) -> Table:
        """Measure on the run's held-out data, and keep the result with it; or on other data.

        Other data that are the run's own, moved, are divided as in training.

        Raises:
            InputError: the data are missing, broken or changed.
        """
        encoders = self._encoders(finished)
        moved = None if data is None or not self.can_move else self._moved(finished, data)
        measured = self.load(finished.config, finished.run, data) if moved is None else moved
        table = measured.measure(*encoders)
        if data is None:
            finished.run.renew_results(table.as_dict())
        return table

    def _moved(self, finished: FinishedRun, data: str) -> Measurable | None:
        """The run's own data, if they are now in another place: those on which it was trained are not measured."""
        opened = reading.current()
        broken = finished.config.broken if opened is None else opened.broken
        account = reading.Account(broken, notes=[f"{data} holds the run's own data."])
        try:
            with reading.into(account):
                found = self.load(replace(finished.config, data=data), finished.run, None)
        except InputError:  # others: what is wrong with them is found when they are read as such
            return None
        reading.enter(account)
        return found

    def embed(self, finished: FinishedRun, source: Any) -> Parts:
        """The parts of a source, which become unit vectors, to be compared by their inner product.

        Raises:
            InputError: there is nothing in `source` that can be embedded, or something broken.
        """
        return self.read(finished, self.encoder(finished.model), source)

    def cluster(self, finished: FinishedRun, source: Any, n: int | None) -> Groups:
        """All that is in a source, in n groups or, for `None`, in as many as HDBSCAN finds.

        Raises:
            InputError: as for `embed`, or more groups than items.
        """
        return Groups.of(gathered(self.embed(finished, source)), n)

    def search(self, finished: FinishedRun, queries: Iterable[Query], k: int) -> list[Found]:
        """The k items of the run that are most like each query, with their cosine similarity.

        Raises:
            InputError: a query that cannot be embedded; of several, more of such queries than of others.
        """
        finished.run.check_trained()
        gallery = Gallery.load(finished.run.gallery)
        asked, vectors = vectors_of_queries(queries, partial(self.find, finished, gallery))
        hits = gallery.search(vectors, k, nearest_in(finished.run, gallery))
        return [Found(query.name, found) for query, found in zip(asked, hits, strict=True)]

    def _encoders(self, finished: FinishedRun) -> tuple[Any, Any]:
        after = self.encoder(finished.model)  # first, for it says if the run is not trained
        return self.encoder(finished.untrained), after


def vectors_of_queries(
    queries: Iterable[Query], find: Callable[[Any], Float[Tensor, " d"]]
) -> tuple[list[Query], Float[Tensor, "q d"]]:
    """The queries that `find` can embed, and their vectors. Others are broken items.

    Raises:
        InputError: more queries are broken than others: the first error.
    """
    asked, vectors = [], []
    for query in queries:
        try:
            vectors.append(find(query.value))
        except InputError as error:
            reading.leave_out("query that cannot be looked for", query.name, error)
        else:
            asked.append(query)
    if not asked:
        raise reading.first_broken() or InputError("query: there is none.")
    reading.read(len(asked), "query")
    return asked, torch.stack(vectors)


def nearest_in(run: Run, gallery: Gallery) -> Exact | Approximate:
    """What finds the nearest items of a run's gallery."""
    return nearest_of(gallery.vectors, run.gallery.with_name("gallery.index.npz"), gallery.captions)
