"""The options of data, views, network and training. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tellapart.domains.tables import Form
from tellapart.errors import require_option
from tellapart.training import TrainingOptions


@dataclass(frozen=True)
class GraphOptions(TrainingOptions):
    """Data, views, network and training."""

    data: str
    """A folder with nodes.csv and edges.csv (or .tsv, .parquet), a .graphml file, or a .pt file with a saved Data."""
    columns: str = ""
    """What the columns of the tables are called: source=from,target=to,node=id."""
    separator: str = ""
    """What separates the cells of the tables, such as ;. By default a comma, or in a .tsv a tab."""
    held_out: float = 0.1
    """Share of the edges that training never sees, to be told from pairs that no edge joins."""
    batch_size: int = 2048
    """Nodes in a batch at most; a graph of so many or fewer is taken whole."""
    company: int = 1
    """Neighbours of each that join the batch with it, at most, if the graph is not taken whole."""
    fan_out: int = 10
    """Neighbours of each node that are drawn for every layer to see, at most, if the graph is not taken whole."""
    learning_rate: float = 5e-3
    drop_edges: float = 0.3
    """Probability that an edge is not in a view."""
    drop_features: float = 0.3
    """Probability that a feature is not in a view."""
    network: Literal["gcn", "gat"] = "gcn"
    """Graph convolutions, or graph attention."""
    layers: int = 2
    """How many edges away a node sees."""
    width: int = 256
    """Length of the vectors between the layers."""
    dim: int = 256
    """Length of the embeddings, and of the vectors that are compared in training."""
    words: int = 4096
    """Buckets into which the words of nodes described by a text are hashed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.form.names()
        for name, least, most in (
            *(("company", 0, 10**4), ("fan_out", 1, 10**4), ("layers", 1, 10)),
            *(("width", 4, 2**14), ("dim", 4, 2**14), ("words", 1, 2**20)),
        ):
            value = getattr(self, name)
            require_option(name, least <= value <= most, f"lie between {least} and {most}", value)
        for name in ("width", "dim"):
            value = getattr(self, name)
            require_option(name, self.network == "gcn" or value % 4 == 0, "be a multiple of 4, for gat's heads", value)
        for name in ("drop_edges", "drop_features"):
            require_option(name, 0 <= getattr(self, name) < 1, "lie in [0, 1)", getattr(self, name))

    @property
    def form(self) -> Form:
        """How tables are read."""
        return Form(self.columns, self.separator)
