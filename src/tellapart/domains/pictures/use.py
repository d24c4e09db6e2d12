"""What can be done with a trained network: measure it, make vectors of pictures, find those that are most alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tellapart.domains.pictures.options import Form
from tellapart.domains.pictures.picture_sets import load_pictures
from tellapart.domains.pictures.study import Study
from tellapart.errors import InputError, exists
from tellapart.runs import Embeddings, Gallery, Hit

if TYPE_CHECKING:
    from tellapart.domains.pictures.network import Network
    from tellapart.evaluation import Table
    from tellapart.runs import Run


class Uses:
    """The commands for runs of one system, whose model is `make(config, form)` and has a `Network` as `network`."""

    def __init__(self, make: Callable[[Any, Form], Any]) -> None:
        self.make = make

    def networks(self, config: Any, run: Run) -> tuple[Network, Network]:
        """The network as it was before training, and as it is now, in the usual precision.

        Raises:
            InputError: the run is not trained, or damaged.
        """
        before, after = run.before_and_after(lambda: self.make(config, Form.noted(run)))
        return before.network, after.network

    def evaluate(self, config: Any, run: Run, data: str | None) -> Table:
        """How well features tell labels, or find a picture by a view of it: on held-out pictures, or on other data.

        Raises:
            InputError: the run is not trained, or the data missing, broken or changed.
        """
        networks = self.networks(config, run)
        if data is not None:
            return Study.of_others(config, run, data).measure(*networks)
        table = Study.of_run(config, run).measure(*networks)
        run.save_results(table.as_dict())
        return table

    def embed(self, config: Any, run: Run, source: str) -> Embeddings:
        """The features of all pictures of a source: unit vectors, to be compared by their inner product.

        Raises:
            InputError: the run is not trained, or there are no pictures in `source`, or broken ones.
        """
        _, network = self.networks(config, run)
        pictures = load_pictures(source, *Form.noted(run))
        return Embeddings(pictures.names, ["picture"] * len(pictures), network.embed(pictures.pictures))

    def search(self, config: Any, run: Run, query: str, k: int) -> list[Hit]:
        """The k pictures of the run that are most like the query, with their cosine similarity.

        The query is a picture file; or, where there is no such file, the name of one of the run's own pictures.

        Raises:
            InputError: the run is not trained, or the query is no picture, or many.
        """
        _, network = self.networks(config, run)
        gallery = Gallery.load(run.gallery)
        if query in gallery.names and not exists(query):
            return gallery.best(gallery.vectors[gallery.names.index(query)], k)
        found = load_pictures(query, *Form.noted(run))
        if len(found) != 1:
            raise InputError(f"{query}: holds {len(found)} pictures. Name a single one.")
        return gallery.best(network.embed(found.pictures)[0], k)
