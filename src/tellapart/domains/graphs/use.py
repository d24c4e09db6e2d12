"""What can be done with a trained network: measure it, make vectors of nodes, find those that are most alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tellapart.domains.graphs.study import Study, fitting
from tellapart.errors import InputError
from tellapart.runs import Embeddings, Gallery, Hit

if TYPE_CHECKING:
    from tellapart.domains.graphs.network import Network
    from tellapart.evaluation import Table
    from tellapart.runs import Run


class Uses:
    """The commands for runs of one system, whose model is `make(config, n_features)`, with a `Network` as `network`."""

    def __init__(self, make: Callable[[Any, int], Any]) -> None:
        self.make = make

    def networks(self, config: Any, run: Run) -> tuple[Network, Network]:
        """The network as it was before training, and as it is now, in the usual precision.

        Raises:
            InputError: the run is not trained, or damaged.
        """
        before, after = run.before_and_after(lambda: self.make(config, run.noted("features")))
        return before.network, after.network

    def evaluate(self, config: Any, run: Run, data: str | None) -> Table:
        """How well labels and held-out edges are told from embeddings, of the run's graph or of another one.

        Raises:
            InputError: the run is not trained, or the data missing, broken or changed.
        """
        networks = self.networks(config, run)
        if data is not None:
            return Study.of_other(config, run, data).measure(*networks)
        table = Study.of_run(config, run).measure(*networks)
        run.save_results(table.as_dict())
        return table

    def embed(self, config: Any, run: Run, source: str) -> Embeddings:
        """The embeddings of all nodes of a graph: unit vectors, to be compared by their inner product.

        Raises:
            InputError: the run is not trained, or the graph broken or of other features.
        """
        _, network = self.networks(config, run)
        graph = fitting(config, run, source)
        return Embeddings(graph.names, ["node"] * len(graph), network.embed(graph))

    def search(self, config: Any, run: Run, query: str, k: int) -> list[Hit]:
        """The k nodes most like the one of that name, which comes first, with their cosine similarity.

        Raises:
            InputError: the run is not trained, or has no such node.
        """
        run.check_trained()
        gallery = Gallery.load(run.gallery)
        if query not in gallery.names:
            raise InputError(f"query: there is no node {query!r}. Nodes are called as in {config.data}.")
        return gallery.best(gallery.vectors[gallery.names.index(query)], k)
