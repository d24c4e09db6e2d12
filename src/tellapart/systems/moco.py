"""MoCo: pictures without texts; a view finds its picture's key in a queue of keys of many batches.

A network makes a query q = g(f(x)) of one random view of a picture; a slow copy of the network, which follows it by
momentum, makes a key k of another view. The line-up of a query are the batch's keys and a queue of past ones:

    L = mean_i [ log Σ_j exp(q_i·k_j / τ) − q_i·k_p / τ ],    slow ← m·slow + (1 − m)·network after each step

with q and k at length 1, and p the key of the same picture. m rises from `momentum` to 1 by half a cosine. If
`symmetric`, both views are asked about and both are keys; the key of the very same view is left out.

Departs from the papers (He et al. 2020, https://arxiv.org/abs/1911.05722, algorithm 1; Chen et al. 2021,
https://arxiv.org/abs/2104.02057, algorithm 1):
 1. Keys carry the ids of their pictures: a picture's old keys are neither its positives nor its negatives.
 2. The batch's other keys stand in the line-up, too, as in the second paper, which has no queue; if symmetric,
    those of both views.
 3. The queue starts empty, and not full of random keys: the line-up grows in the first epochs.
 4. Devices share their batch norms, where the first paper shuffles; the head has one, and no further head predicts.
 5. AdamW, a small residual network and even batches, as in `simclr`; several devices share one queue.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from tellapart.distributed import gather, share, world
from tellapart.domains import pictures
from tellapart.domains.pictures import Form, Network, PictureOptions, PictureSet, Study
from tellapart.errors import require_option
from tellapart.negatives import KeyQueue
from tellapart.objective import Terms, info_nce_terms
from tellapart.relations import Relation, paired, same
from tellapart.runs import Run, is_first_process
from tellapart.training import TrainerOptions

if TYPE_CHECKING:
    from jaxtyping import Float, Int

QUERY = "PICTURE.png"
OWN_DATA = "pictures, in a folder"
_NOBODY = -1


@dataclass(frozen=True)
class Config(PictureOptions):
    """Train a picture encoder to know a picture by another view of it, among the keys of many batches."""

    queue: int = 4096
    """Keys of past batches that stand in every line-up; He et al. keep 65536 for a million pictures."""
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

    def __init__(self, config: Config, form: Form) -> None:
        super().__init__()
        self.network = Network(config, form)
        self.slow = copy.deepcopy(self.network).requires_grad_(False)
        self.queue = KeyQueue(config.queue, config.dim)
        self.make_views = pictures.make_views(config, form)
        self.momentum, self.symmetric, self.temperature = config.momentum, config.symmetric, config.temperature


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures, and as their ids the rows of the data where they stand."""

    pictures: PictureSet
    ids: Int[Tensor, " n"]

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        return Batch(self.pictures.to(device), self.ids.to(device))


class Asked(NamedTuple):
    """Views to make queries of, the keys of the views that they are to find, and whose both are."""

    views: Float[Tensor, "b c side side"]
    keys: Float[Tensor, "b dim"]
    ids: Int[Tensor, " b"]


class LineUp(NamedTuple):
    """Keys, who of them is a query's counterpart, and who does not stand in its line-up."""

    keys: Float[Tensor, "k dim"]
    positives: Relation
    exclude: Relation


@torch.no_grad()
def ask(model: MoCo, batch: Batch) -> Asked:
    """Two views of each picture, and the slow network's keys."""
    first, second = model.make_views(batch.pictures.pictures, 2)
    if not model.symmetric:
        return Asked(first, model.slow(second), batch.ids)
    both = torch.cat([first, second])
    return Asked(both, model.slow(both), batch.ids.repeat(2))


def line_up(model: MoCo, asked: Asked) -> LineUp:
    """The batch's keys and this process's share of the queue, and by their ids who is who."""
    old, old_ids = map(share, model.queue.read())
    new_ids = asked.ids
    counterparts = same(new_ids, torch.cat([new_ids, torch.full_like(old_ids, _NOBODY)]))
    own_past = same(new_ids, torch.cat([torch.full_like(new_ids, _NOBODY), old_ids]))
    keys = torch.cat([asked.keys, old.to(asked.keys)])
    if not model.symmetric:
        return LineUp(keys, counterparts, own_past)
    return LineUp(keys, counterparts & ~paired(), own_past | paired())  # paired: the key of the very same view


def terms(model: MoCo, asked: Asked) -> Terms:
    """The objective: InfoNCE among the batch's keys and the queue's."""
    keys, positives, exclude = line_up(model, asked)
    return info_nce_terms(
        model.network(asked.views),
        keys,
        positives=positives,
        exclude=exclude,
        temperature=model.temperature,
        group=world(),
    )


@torch.no_grad()
def after_step(model: MoCo, asked: Asked, progress: float) -> None:
    """Let the slow network follow, and put the keys of all processes into the queue."""
    towards = 1 - momentum_at(progress, model.momentum)
    for slow, fast in zip(model.slow.parameters(), model.network.parameters(), strict=True):
        slow.lerp_(fast, towards)
    model.queue.push(gather(asked.keys), gather(asked.ids))


def momentum_at(progress: float, start: float) -> float:
    """`m(t) = 1 − (1 − m₀)·(1 + cos πt) / 2`, for t from 0 to 1: Chen et al. 2021, §4.

    >>> [round(momentum_at(t, 0.9), 3) for t in (0, 0.5, 1)]
    [0.9, 0.95, 1.0]
    """
    return 1 - (1 - start) * (1 + math.cos(math.pi * progress)) / 2


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into the run folder, from its checkpoint if it has one; then evaluate and fill the gallery.

    Raises:
        InputError: what is wrong with data, options or disk.
        Interrupted: the run was asked to stop; its state is saved.
    """
    study = Study.of_run(config, run)
    batches, model = study.batches(trainer), MoCo(config, study.form)
    n_keys = config.keys_per_step(trainer.devices)
    require_option("queue", config.queue >= n_keys, f"be at least {n_keys}, the keys of one step", config.queue)
    if not run.is_trained():
        from tellapart.training.fit import Recipe, fit

        def batch(rows: Int[Tensor, " n"]) -> Batch:
            return Batch(study.training.rows(rows), rows)

        recipe = Recipe(config.learning_rate, config.weight_decay)
        fit(model, terms, batches, batch, run, recipe, trainer, prepare=ask, after_step=after_step)
        if not is_first_process():
            return
        run.save_weights(model)
    study.finish(run, *_uses.networks(config, run))


_uses = pictures.Uses(MoCo)
evaluate, embed, search = _uses.evaluate, _uses.embed, _uses.search
