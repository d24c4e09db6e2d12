"""The graph of a run, its edges for training and held out, and what is made of it: figures and a gallery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.graphs.graph import UNKNOWN, Graph
from tellapart.domains.graphs.links import unlinked_pairs
from tellapart.domains.graphs.load import load_graph
from tellapart.domains.graphs.measure import Questions, nodes
from tellapart.errors import InputError
from tellapart.evaluation import Table
from tellapart.runs import Gallery

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

    from tellapart.domains.graphs.network import Network
    from tellapart.domains.graphs.options import GraphOptions
    from tellapart.runs import Run


_MOST_LABELLED = 20_000


@dataclass(frozen=True, eq=False)
class Dataset:
    """A graph, the part of it that training sees, and the edges that it does not."""

    whole: Graph
    known: Graph
    """All nodes, and the edges to train on."""
    linked: Int[Tensor, "2 h"]
    """The edges held out, each in one direction."""
    unlinked: Int[Tensor, "2 h"]
    """As many pairs of nodes that no edge joins."""

    @classmethod
    def load(cls, options: GraphOptions, run: Run, source: str | None = None) -> Dataset:
        """A run's own graph; or one from another source, with as many features.

        Raises:
            InputError: it is missing, broken, too small, or of other features; or the run's own changed since it began.
        """
        if source is not None:
            return cls._of(fitting(load_graph(source, options.words, options.form), run, source), options)
        graph = load_graph(options.data, options.words, options.form)
        run.check_data(graph.fingerprint())
        run.note(features=graph.n_features)
        return cls._of(graph, options)

    @classmethod
    def _of(cls, graph: Graph, options: GraphOptions) -> Dataset:
        known, linked = graph.hold_out(options.held_out, options.seed)
        unlinked = unlinked_pairs(graph.edge_index, len(graph), linked.shape[1], options.seed)
        return cls(graph, known, linked, unlinked)

    def gallery(self, after: Network) -> Gallery:
        """All nodes with their embeddings; none is held out."""
        graph = self.whole
        labels = None if graph.labels is None else graph.label_names()
        seen = torch.zeros(len(graph), dtype=torch.bool)
        return Gallery(graph.names, None, seen, after.embed(graph), None, None, labels, "node")

    def measure(self, before: Network, after: Network) -> Table:
        """Guessing, the features as they are, the untrained and the trained network.

        Labels are told from embeddings that know of all edges, links from those that know of the edges to train on.
        """
        graph = self.whole
        models = {"raw features": (graph.features, self.known.features)}
        for name, network in (("untrained", before), ("trained", after)):
            models[name] = network.embed(graph), network.embed(self.known)
        title = f"{len(graph)} nodes with {graph.n_features} features, and {graph.n_edges()} edges"
        table = nodes(models, self.questions(), title)
        return replace(table, notes=[*table.notes, *graph.notes])

    def questions(self) -> Questions:
        """Up to 20,000 nodes to tell the labels of, the same for every seed, and the pairs."""
        labels = torch.full((len(self.whole),), UNKNOWN) if self.whole.labels is None else self.whole.labels
        labelled = (labels != UNKNOWN).nonzero().flatten()
        drawn = np.random.default_rng(0).permutation(len(labelled))[:_MOST_LABELLED]
        labelled = labelled[torch.from_numpy(np.sort(drawn))]
        return Questions(labelled, labels[labelled], self.linked, self.unlinked)


def fitting(graph: Graph, run: Run, place: str) -> Graph:
    """The graph, which must have as many features as the run's.

    Raises:
        InputError: they have others.
    """
    n_features = run.noted("features")
    if graph.n_features != n_features:
        what = f"nodes have {graph.n_features} features, those of the run {n_features}"
        raise InputError(f"{place}: {what}. Give a graph with the same ones.")
    return graph
