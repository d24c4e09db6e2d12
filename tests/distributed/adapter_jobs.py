"""What the adapters compute with the flags by which the peers gather: each process its own rows, or one all of them."""

from __future__ import annotations

import torch
from torch import nn

from tellapart import compat
from tests.distributed.jobs import _loss_and_gradients, made, rows_of

DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")


class Given(nn.Module):
    """An encoder of embeddings that are there already."""

    def forward(self, features):
        return {"sentence_embedding": features["x"]}


def _lightly(q, k, h, is_alone):
    return compat.LightlyNTXentLoss(gather_distributed=not is_alone)(q, k) + 0 * h.sum()


def _open_clip(q, k, h, is_alone):
    world = {} if is_alone else {"rank": torch.distributed.get_rank(), "world_size": torch.distributed.get_world_size()}
    return compat.OpenClipLoss(local_loss=True, **world)(q, k, 5.0) + 0 * h.sum()


def _ranking(**options):
    def loss(q, k, h, is_alone):
        ranking = compat.SentenceTransformersMNRL(Given(), 5.0, gather_across_devices=not is_alone, **options)
        return ranking([{"x": x} for x in (q, k, h)])

    return loss


LOSSES = {
    "lightly": _lightly,
    "open_clip": _open_clip,
    "ranking": _ranking(),
    "ranking in all directions": _ranking(directions=DIRECTIONS),
    "ranking per direction": _ranking(directions=DIRECTIONS[::2], partition_mode="per_direction"),
    "ranking of hard negatives": _ranking(hardness_mode="all_negatives", hardness_strength=3.0),
}


def gathered(group, name, rows):
    n, here = sum(rows), rows_of(group, rows)
    given = [made(seed, n)[here].requires_grad_() for seed in (1, 2, 3)]
    return _loss_and_gradients(group, LOSSES[name](*given, group is None), *given)


def bank_of_all(group, rows):
    """The keys of a memory bank after two batches; each process pushes those of all."""
    torch.manual_seed(0)
    loss = compat.LightlyNTXentLoss(memory_bank_size=(20, 5), gather_distributed=group is not None).double()
    here = rows_of(group, rows)
    for seed in (1, 2):
        loss(made(seed, sum(rows))[here].requires_grad_(), made(seed + 5, sum(rows))[here])
    return {"mean of banks": loss.memory_bank.read()[0]}
