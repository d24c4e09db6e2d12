"""attention: a memory that is read by content; what asks and what is asked for in one space.

A query has to find its counterpart, the key that belongs to it, in a line-up of all keys. The softmax of their scores
is attention: with q and k the encoded query and key at length 1, and τ learned,

    L = (L_queries + L_keys) / 2,    L_queries = mean_i [ E_i⁺ − F_i ] = −mean_i log p_i⁺
    E_ij = −q_i·k_j/τ,    F_i = −log Σ_j exp(−E_ij)

and L_keys the same with the roles exchanged. What a query reads from values v is Σ_j p_ij v_j,
one step of a modern Hopfield network. Its error is at most (1 − e^−L_i) · max_j ‖v_j − v_i⁺‖ (`theory.read`).

Departs from the papers (Ramsauer et al. 2020, https://arxiv.org/abs/2008.02217; Fürst et al. 2022, CLOOB,
https://arxiv.org/abs/2110.11316):
 1. Encoders are trained by InfoNCE on the pairs, not through the values that are read.
 2. Queries and keys have length 1, and the temperature is learned, where attention has τ = √d.
 3. One head. Values are the items themselves and are not encoded.
 4. Keys that are equal are each other's positives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from tellapart.distributed import world
from tellapart.domains import memories, pictures
from tellapart.domains.memories import Batch, Memory, MemoryOptions, Sides
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.planning import PlannedLoss
from tellapart.relations import Relation, same
from tellapart.runs import Run
from tellapart.systems.contract import System
from tellapart.training import TermsStep, TrainerOptions, begin, fit

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Config(MemoryOptions):
    """Train two encoders, of queries and of keys, to retrieve pairs by attention."""

    temperature: float = 0.1
    """Where the learned temperature starts; it stays at 0.01 or above."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("temperature", self.temperature >= 0.01, "be at least 0.01", self.temperature)


def compare(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    positives: Relation,
    temperature: Float[Tensor, ""] | float,
    group: ProcessGroup | None = None,
) -> Terms:
    """The objective: symmetric InfoNCE over the batch."""
    return info_nce_terms(queries, keys, positives=positives, temperature=temperature, symmetric=True, group=group)


def terms(model: Memory, batch: Batch) -> Terms:
    """The objective of a batch."""
    embedded = model.queries(batch.queries), model.keys(batch.keys)
    return compare(*embedded, same(batch.key_ids), model.temperature(), world())


def plan(batch: int, _: int) -> PlannedLoss:
    """`batch` pairs, no two of which share a key."""
    alone = same(torch.arange(batch))
    negatives = "all other keys of the batch; for a key, all other queries"
    return PlannedLoss.of_pairs(batch, lambda q, k, tau: compare(q, k, alone, tau), negatives)


def pictures_as(config: MemoryOptions) -> Callable[[str], tuple[pictures.PictureSet, pictures.PictureSet | None]]:
    """What reads pictures as the options say."""
    return partial(pictures.load_splits, size=config.picture_size or None, form=pictures.Form(config.labels))


def make_memory(config: Config, sides: Sides) -> Memory:
    """The encoders with their first weights."""
    return Memory(config, sides, config.temperature)


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    begin(run, "attention", config, trainer)
    data = memories.Dataset.load(pictures_as, config, run)
    step = TermsStep(make_memory(config, data.sides()), terms, config)
    fit(step, data.batches(), data.rows, run, trainer, step.held_out(len(data.held_out), data.unseen))
    commands.finish(config, run, data)


commands = memories.commands_for(make_memory, pictures_as)
system = System(
    Config,
    train,
    commands.make_model,
    own_data="pairs, an .npz with arrays queries and keys, or pictures",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=commands.cluster,
    query="0",
    plan=plan,
)
