"""What can be done with a network of graphs: measure it, make vectors of nodes, find those that are most alike."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tellapart.domains.given import is_source, refuse
from tellapart.domains.graphs.dataset import Dataset, fitting
from tellapart.domains.graphs.load import load_graph
from tellapart.domains.graphs.saved import from_parts
from tellapart.domains.queries import lines_or_one
from tellapart.domains.tables import AS_IT_LIES, Form
from tellapart.errors import InputError
from tellapart.runs import Commands, Embeddings, FinishedRun, Gallery, in_one

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from tellapart.domains.graphs.graph import Graph
    from tellapart.domains.graphs.network import Network


def commands_for(make: Callable[[Any, int], nn.Module]) -> Commands:
    """The commands of a system with the model `make(config, n_features)`, with a `Network` as `network`."""
    return Commands(
        make_model=lambda config, run: make(config, run.noted("features")),
        encoder=attrgetter("network"),
        load=Dataset.load,
        read=_read,
        ask=lambda _, typed: lines_or_one(typed),
        find=_find,
    )


def as_graph(given: Any, words: int, form: Form = AS_IT_LIES) -> Graph:
    """A graph.

    Args:
        given: a file or folder, as for `load_graph`; or a `Data` of torch_geometric, or a dict, of the tensors `x`,
            `edge_index` and perhaps `y`, and perhaps the list `names`.
        words: the features that the words of nodes' texts become.
        form: how tables are read.

    Raises:
        InputError: neither, or something missing or broken; it names the place.
    """
    if is_source(given):
        return load_graph(str(given), words, form)
    parts = given if isinstance(given, dict) else getattr(given, "to_dict", dict)()
    if not isinstance(parts, dict) or not parts:
        refuse(given, "be a file or folder of a graph, or a torch_geometric Data with x and edge_index")
    return from_parts(parts, "x")


@in_one
def _read(finished: FinishedRun, network: Network, source: Any) -> Embeddings:
    place = str(source) if is_source(source) else "x"
    graph = fitting(as_graph(source, finished.config.words, finished.config.form), finished.run, place)
    return Embeddings(graph.names, ["node"] * len(graph), network.embed(graph))


def _find(finished: FinishedRun, gallery: Gallery, query: Any) -> Float[Tensor, " d"]:
    """A node is looked for by its name, and is found first itself."""
    if query not in gallery.names:
        raise InputError(f"query: there is no node {query!r}. Nodes are called as in {finished.config.data}.")
    return gallery.vectors[gallery.names.index(query)]
