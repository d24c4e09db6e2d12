"""Graph: the nodes of a graph; each finds itself and its neighbours in another view of the graph.

Two views of the graph lack edges and features at random, others in each. A graph network f and a head g make vectors
of all nodes, u in the first view and v in the second. The line-up are the nodes of the other view, or of both; a node's
counterparts are itself and its neighbours there. With P(i) a node i, its neighbours, or both, in the other view,

    L = (L_u + L_v) / 2,    L_u = mean_i [ log Σ_j exp(u_i·v_j / τ) − mean over p in P(i) of u_i·v_p / τ ]

with u and v at length 1 ("out"; with "in" it is the log of the mean of exp(u_i·v_p / τ)), and L_v the same with the
roles exchanged. With `line_up` "both", j also runs over the nodes of i's own view but i, and its neighbours there are
positives, too. `counterparts` "itself" and `line_up` "both" together are GRACE. What is kept is f.

Departs from the papers (Zhu et al. 2020, https://arxiv.org/abs/2006.04131, eq. 1 and 2; Shen et al. 2023,
https://arxiv.org/abs/2301.01404, neighbours as positives):
 1. Both views drop edges and features at the same two rates; edges have no direction, and go both ways or not at all.
 2. There are no learned views, and one network sees both.
 3. A graph of more than `batch_size` nodes is learned in parts: some nodes and some of their neighbours are compared,
    and further neighbours are there for the network to see. Degrees are then those within the part.
 4. Each device compares the nodes of its part only: neighbours are known within a part.
 5. AdamW with a warm-up and half a cosine; PReLU; even batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from tellapart.domains import graphs
from tellapart.domains.graphs import Dataset, GraphOptions, HeldLinks, Links, Network, Part, Sampler, drop_from_graph
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.planning import PlannedLoss
from tellapart.relations import Relation, edges, other_views, paired
from tellapart.runs import Run
from tellapart.systems.contract import System
from tellapart.training import Batches, HeldOut, TermsStep, TrainerOptions, begin, fit, measured, timed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True)
class Config(GraphOptions):
    """Train a graph network to know a node and its neighbours in another view of the graph."""

    temperature: float = 0.3
    """By what similarities are divided: the lower, the more the hardest negatives count."""
    counterparts: Literal["neighbours", "itself"] = "neighbours"
    """Whether a node is to find itself and its neighbours, or only itself."""
    multi_positive: Literal["out", "in"] = "out"
    """Of several positives, "out" averages the losses, "in" the probabilities."""
    line_up: Literal["other", "both"] = "other"
    """Whether only the other view's nodes are candidates, or those of the node's own view, too."""

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


def positives(config: Config, own: Int[Tensor, "2 e"], n: int) -> Relation:
    """Of each of n nodes: itself in the other view, and its neighbours by `own` edges in every view of candidates."""
    if config.counterparts == "itself":
        return paired() if config.line_up == "other" else other_views(n)
    across = torch.cat([own, torch.arange(n, device=own.device).expand(2, n)], dim=1)
    if config.line_up == "other":
        return edges(across)
    there, back = torch.tensor([[[0], [n]], [[n], [0]]], device=own.device)
    return edges(torch.cat([own, own + n, across + there, across + back], dim=1))


def compare(
    config: Config, first: Float[Tensor, "n dim"], second: Float[Tensor, "n dim"], own: Int[Tensor, "2 e"]
) -> Terms:
    """The objective: InfoNCE between the nodes of two views, or among those of both."""
    among_both = config.line_up == "both"
    queries, keys = (torch.cat([first, second]),) * 2 if among_both else (first, second)
    return info_nce_terms(
        queries,
        keys,
        positives=positives(config, own, len(first)),
        exclude=paired() if among_both else None,
        temperature=config.temperature,
        multi_positive=config.multi_positive,
        symmetric=not among_both,
    )


def terms(model: Model, part: Part) -> Terms:
    """The objective of a part of the graph, in two random views."""
    config = model.config
    rates = {"edge_rate": config.drop_edges, "feature_rate": config.drop_features}
    with timed("views"):
        views = [drop_from_graph(part.features, part.edge_index, part.edge_weight, **rates) for _ in range(2)]
    first, second = (model.network(*view, part.n_asked) for view in views)
    return compare(config, first, second, part.edges_among_asked())


def measure(model: Model, links: Links) -> Mapping[str, Tensor]:
    """InfoNCE of held-out edges: each node finds the one that such an edge joins it to, without random views.

    It is not the training's loss, which also has each node find itself, and so its accuracy is not told.
    """
    part = links.part
    projected = model.network(part.features, part.edge_index, part.edge_weight, part.n_asked)
    found = info_nce_terms(
        *projected[links.ends],
        positives=links.positives(),
        exclude=links.exclude(),
        temperature=model.config.temperature,
        symmetric=True,
    )
    told = measured(found)
    return {name: told[name] for name in ("loss", "n_candidates")}


def plan(batch: int, _: int) -> PlannedLoss:
    """`batch` nodes in a ring, so that each has two neighbours."""
    require_option("batch", batch >= 4, "be at least 4: a node and its neighbours are no negatives", batch)
    node = torch.arange(batch)
    ring = torch.cat([torch.stack([node, node.roll(1)]), torch.stack([node.roll(1), node])], dim=1)
    return PlannedLoss(
        lambda u, v, tau: compare(Config(data="", temperature=tau), u, v, ring),
        batch,
        n_queries=batch,
        n_candidates=batch,
        n_negatives=batch - 3,
        way="symmetric",
        negatives="all other nodes of the other view but neighbours, of which two are assumed",
    )


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    begin(run, "graph", config, trainer)
    data = Dataset.load(config, run)
    sampler = Sampler(data.known, config.company, config.fan_out, config.layers)

    def draw(_: nn.Module, rows: Int[Tensor, " b"]) -> Part:
        with timed("parts"):
            return sampler.part(rows.cpu()).to(rows.device)

    model = Model(config, data.whole.n_features)
    step = TermsStep(model, terms, config, prepare=draw)
    batches = Batches(len(data.whole), config.batch_size, config.epochs, config.seed)
    links = HeldLinks(data, sampler)
    held_out = HeldOut(len(links), links.batch, partial(measure, model), at_once=links.at_once)
    fit(step, batches, lambda rows: rows, run, trainer, held_out)
    commands.finish(config, run, data)


commands = graphs.commands_for(Model)
system = System(
    Config,
    train,
    commands.make_model,
    own_data="graph, as tables of nodes and edges, GraphML or a saved Data",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=commands.cluster,
    query="NODE",
    plan=plan,
)
