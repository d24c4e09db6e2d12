"""MoCo: pictures without texts; a view finds its picture's key in a queue of keys of many batches.

A network makes a query q = g(f(x)) of one random view of a picture; a slow copy of the network, which follows it by
momentum, makes a key k of another view. A query's counterpart is the key of its picture; its line-up are the batch's
keys and a queue of past ones:

    L = mean_i [ log Σ_j exp(q_i·k_j / τ) − q_i·k_p / τ ],    slow ← m·slow + (1 − m)·network after each step

with q and k at length 1, and p the key of the same picture. m rises from `momentum` to 1 by half a cosine. If
`symmetric`, both views are queries and both are keys; the key of the very same view is left out.

Departs from the papers (He et al. 2020, https://arxiv.org/abs/1911.05722, algorithm 1; Chen et al. 2021,
https://arxiv.org/abs/2104.02057, algorithm 1):
 1. Keys carry the ids of their pictures: a picture's old keys are neither its positives nor its negatives.
 2. The batch's other keys are candidates, too, as in the second paper, which has no queue; if symmetric,
    those of both views.
 3. The queue starts empty, and not full of random keys: there are fewer candidates in the first epochs.
 4. Devices share their batch norms, where the first paper shuffles; the head has one, and no further head predicts.
 5. AdamW, a small residual network and even batches, as in `simclr`; several devices share one queue.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tellapart.distributed import gather, share, world
from tellapart.domains import pictures
from tellapart.domains.pictures import Dataset, ImageShape, Network, PictureOptions, PictureSet
from tellapart.errors import require_option
from tellapart.negatives import KeyQueue
from tellapart.objective import Terms, info_nce_terms
from tellapart.planning import PlannedLoss
from tellapart.relations import Relation, paired, same
from tellapart.runs import Run
from tellapart.systems.contract import System
from tellapart.training import TermsStep, TrainerOptions, begin, fit

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_NO_ID = -1


@dataclass(frozen=True)
class Config(PictureOptions):
    """Train a picture encoder to know a picture by another view of it, among the keys of many batches."""

    queue: int = 4096
    """Keys of past batches among the candidates of every query; He et al. keep 65536 for a million pictures."""
    momentum: float = 0.99
    """Share of itself that the slow network keeps at each step; it rises to 1 over the training."""
    symmetric: bool = True
    """Whether each of the two views finds the other, or only the first the second."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("momentum", 0 <= self.momentum <= 1, "lie in [0, 1]", self.momentum)
        must = f"lie between {self.keys_per_step(1)}, the keys of one batch, and {2**20}"
        require_option("queue", self.keys_per_step(1) <= self.queue <= 2**20, must, self.queue)

    def keys_per_step(self, n_devices: int) -> int:
        """How many keys enter the queue at a step, at most."""
        return self.batch_size * (1 + self.symmetric) * n_devices


class MoCo(nn.Module):
    """The network that is trained, its slow copy, and the queue of keys that the copy made."""

    of_its_data = ("queue",)
    copies: ClassVar = {"slow": "network"}

    def __init__(self, config: Config, shape: ImageShape) -> None:
        super().__init__()
        self.network = Network(config, shape)
        self.slow = copy.deepcopy(self.network).requires_grad_(False)
        self.queue = KeyQueue(config.queue, self.network.dim)
        self.make_views = pictures.make_views(config, shape)
        self.momentum, self.symmetric, self.temperature = config.momentum, config.symmetric, config.temperature


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures, and as their ids the rows of the data where they stand."""

    pictures: PictureSet
    ids: Int[Tensor, " n"]

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        return Batch(self.pictures.to(device), self.ids.to(device))


class Queries(NamedTuple):
    """Views to make queries of, the slow network's keys of the same pictures, and the pictures' ids."""

    views: Float[Tensor, "b c side side"]
    keys: Float[Tensor, "b dim"]
    ids: Int[Tensor, " b"]


class Candidates(NamedTuple):
    """Keys, which of them are a query's positives, and which are not its candidates."""

    keys: Float[Tensor, "k dim"]
    positives: Relation
    exclude: Relation


@torch.no_grad()
def prepare(model: MoCo, batch: Batch) -> Queries:
    """Two views of each picture, and the slow network's keys."""
    first, second = model.make_views(batch.pictures.pictures, 2)
    if not model.symmetric:
        return Queries(first, model.slow(second), batch.ids)
    both = torch.cat([first, second])
    return Queries(both, model.slow(both), batch.ids.repeat(2))


def relations(ids: Int[Tensor, " b"], old_ids: Int[Tensor, " q"], symmetric: bool) -> tuple[Relation, Relation]:
    """By the ids of the batch's pictures and of the queue's: positives, and what is excluded.

    Positives are a picture's new keys. Its old ones are excluded; and, if symmetric, the key of the very same view.
    """
    positives = same(ids, torch.cat([ids, torch.full_like(old_ids, _NO_ID)]))
    own_past = same(ids, torch.cat([torch.full_like(ids, _NO_ID), old_ids]))
    return (positives & ~paired(), own_past | paired()) if symmetric else (positives, own_past)


def candidates(model: MoCo, queries: Queries) -> Candidates:
    """The batch's keys and this process's share of the queue."""
    old, old_ids = map(share, model.queue.read())
    keys = torch.cat([queries.keys, old.to(queries.keys)])
    return Candidates(keys, *relations(queries.ids, old_ids, model.symmetric))


def terms(model: MoCo, queries: Queries) -> Terms:
    """The objective: InfoNCE among the batch's keys and the queue's."""
    keys, positives, exclude = candidates(model, queries)
    return info_nce_terms(
        model.network(queries.views),
        keys,
        positives=positives,
        exclude=exclude,
        temperature=model.temperature,
        group=world(),
    )


@torch.no_grad()
def after_step(model: MoCo, queries: Queries, progress: float) -> None:
    """Let the slow network follow, and put the keys of all processes into the queue."""
    towards = 1 - momentum_at(progress, model.momentum)
    for slow, fast in zip(model.slow.parameters(), model.network.parameters(), strict=True):
        slow.lerp_(fast, towards)
    model.queue.push(gather(queries.keys), gather(queries.ids))


def momentum_at(progress: float, start: float) -> float:
    """`m(t) = 1 − (1 − m₀)·(1 + cos πt) / 2`, for t from 0 to 1: Chen et al. 2021, §4.

    >>> [round(momentum_at(t, 0.9), 3) for t in (0, 0.5, 1)]
    [0.9, 0.95, 1.0]
    """
    return 1 - (1 - start) * (1 + math.cos(math.pi * progress)) / 2


def plan(batch: int, queue: int) -> PlannedLoss:
    """Two views of `batch` pictures, both queries and both keys, and `queue` keys of other pictures."""
    n, ids = 2 * batch, torch.arange(batch + queue)
    positives, exclude = relations(ids[:batch].repeat(2), ids[batch:], symmetric=True)
    return PlannedLoss(
        lambda q, k, tau: info_nce_terms(q, k, positives=positives, exclude=exclude, temperature=tau),
        batch,
        n_queries=n,
        n_candidates=n + queue,
        n_negatives=n - 2 + queue,
        way="one way",
        negatives="the keys of both views of all other pictures, and the queue's",
        queue=queue,
        encoded="views",
        n_keyed=n,
    )


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    begin(run, "moco", config, trainer)
    data = Dataset.load(config, run)
    n_keys = config.keys_per_step(trainer.devices)
    require_option("queue", config.queue >= n_keys, f"be at least {n_keys}, the keys of one step", config.queue)

    def batch(rows: Int[Tensor, " n"]) -> Batch:
        return Batch(data.training.rows(rows), rows)

    def unseen(rows: Int[Tensor, " n"]) -> Batch:
        return Batch(data.test.rows(rows), len(data.training) + rows)  # no ids of the queue

    step = TermsStep(MoCo(config, data.shape), terms, config, prepare=prepare, after_step=after_step)
    fit(step, data.batches(), batch, run, trainer, step.held_out(len(data.test), unseen))
    commands.finish(config, run, data)


commands = pictures.commands_for(lambda config, run: MoCo(config, ImageShape.noted(run)))
system = System(
    Config,
    train,
    commands.make_model,
    own_data="pictures, in a folder",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=pictures.cluster_with(commands),
    grouped_into=pictures.GROUPED_INTO,
    encoders=pictures.network_encoders,
    query="PICTURE.png",
    plan=plan,
)
