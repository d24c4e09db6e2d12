"""Graph: the nodes of a graph; each finds itself and its neighbours in another view of the graph.

Two views of the graph lack edges and features at random, others in each. A graph network f and a head g make vectors
of all nodes, u in the first view and v in the second. With P(i) a node i, its neighbours, or both, in the other view,

    L = (L_u + L_v) / 2,    L_u = mean_i [ log Σ_j exp(u_i·v_j / τ) − mean over p in P(i) of u_i·v_p / τ ]

with u and v at length 1 ("out"; with "in" it is the log of the mean of exp(u_i·v_p / τ)), and L_v the same with the
roles exchanged. With `line_up` "both", j also runs over the nodes of i's own view but i, whose neighbours are
counterparts, too. `counterparts` "itself" and `line_up` "both" together are GRACE. What is kept is f.

Departs from the papers (Zhu et al. 2020, https://arxiv.org/abs/2006.04131, eq. 1 and 2; Shen et al. 2023,
https://arxiv.org/abs/2301.01404, neighbours as counterparts):
 1. Both views drop edges and features at the same two rates; edges have no direction, and go both ways or not at all.
 2. There are no learned views, and one network sees both.
 3. A graph of more than `batch_size` nodes is learned in parts: some nodes and some of their neighbours are in the
    line-up, and further neighbours are there to be seen by them. Degrees are then those within the part.
 4. Each device has line-ups of its own: who is a neighbour is known within a part only.
 5. AdamW with a warm-up and half a cosine; PReLU; even batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from tellapart.domains.graphs import GraphOptions, Network, Part, Sampler, Study, Uses, drop_from_graph
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.relations import Relation, edges, other_views, paired
from tellapart.runs import Run, is_first_process
from tellapart.training import Batches, TrainerOptions, timed

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

QUERY = "NODE"
OWN_DATA = "graph, as tables of nodes and edges, GraphML or a saved Data"


@dataclass(frozen=True)
class Config(GraphOptions):
    """Train a graph network to know a node and its neighbours in another view of the graph."""

    temperature: float = 0.3
    """By what similarities are divided: the lower, the more the hardest negatives count."""
    counterparts: Literal["neighbours", "itself"] = "neighbours"
    """Whether a node is to find itself and its neighbours, or only itself."""
    multi_positive: Literal["out", "in"] = "out"
    """Of several counterparts, "out" averages the losses, "in" the probabilities."""
    line_up: Literal["other", "both"] = "other"
    """Whether only the other view's nodes stand in the line-up, or those of the node's own view, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("temperature", self.temperature >= 0.01, "be at least 0.01", self.temperature)


class Model(nn.Module):
    """The network that is trained, and the options that it is trained with."""

    def __init__(self, config: Config, n_features: int) -> None:
        super().__init__()
        sizes = config.width, config.dim, config.layers
        self.network = Network(config.network, n_features, *sizes, config.seed)
        self.config = config


def counterparts(config: Config, part: Part) -> Relation:
    """Whom a node is to find: itself in the other view and, in whichever views stand in the line-up, its neighbours."""
    n = part.n_asked
    if config.counterparts == "itself":
        return paired() if config.line_up == "other" else other_views(n)
    own = part.edges_among_asked()
    across = torch.cat([own, torch.arange(n, device=own.device).expand(2, n)], dim=1)
    if config.line_up == "other":
        return edges(across)
    there, back = torch.tensor([[[0], [n]], [[n], [0]]], device=own.device)
    return edges(torch.cat([own, own + n, across + there, across + back], dim=1))


def terms(model: Model, part: Part) -> Terms:
    """The objective: InfoNCE between the nodes of two views, or among those of both."""
    config = model.config
    rates = {"edge_rate": config.drop_edges, "feature_rate": config.drop_features}
    with timed("views"):
        views = [drop_from_graph(part.features, part.edge_index, **rates) for _ in range(2)]
    first, second = (model.network(*view, part.n_asked) for view in views)
    among_both = config.line_up == "both"
    queries, keys = (torch.cat([first, second]),) * 2 if among_both else (first, second)
    return info_nce_terms(
        queries,
        keys,
        positives=counterparts(config, part),
        exclude=paired() if among_both else None,
        temperature=config.temperature,
        multi_positive=config.multi_positive,
        symmetric=not among_both,
    )


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into the run folder, from its checkpoint if it has one; then evaluate and fill the gallery.

    Raises:
        InputError: what is wrong with data, options or disk.
        Interrupted: the run was asked to stop; its state is saved.
    """
    study = Study.of_run(config, run)
    if not run.is_trained():
        from tellapart.training.fit import Recipe, fit

        sampler = Sampler(study.known, config.company, config.fan_out, config.layers)

        def draw(_: nn.Module, rows: Int[Tensor, " b"]) -> Part:
            with timed("parts"):
                return sampler.part(rows.cpu()).to(rows.device)

        model = Model(config, study.whole.n_features)
        batches = Batches(len(study.whole), config.batch_size, config.epochs, config.seed)
        recipe = Recipe(config.learning_rate, config.weight_decay)
        fit(model, terms, batches, lambda rows: rows, run, recipe, trainer, prepare=draw)
        if not is_first_process():
            return
        run.save_weights(model)
    study.finish(run, *_uses.networks(config, run))


_uses = Uses(Model)
evaluate, embed, search = _uses.evaluate, _uses.embed, _uses.search
