"""The kinds of work that `loss.py` measures: inputs, the loss by tellapart, and the plain formulas it is timed against.

`worker.py` runs this file with older commits of tellapart, too: only what they all have may be used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

import formulas
import peers
from tellapart import edges, info_nce, info_nce_terms, nt_xent, other_views, paired, same, variants

Loss = Callable[..., Tensor]
QUEUE, EDGE_KEYS, EDGES_A_QUERY = 65_536, 13_824, 4


@dataclass(frozen=True)
class Work:
    """One kind of problem: the loss by tellapart, the others (the plain formula first), inputs for n × d."""

    ours: Loss
    others: dict[str, Loss]
    inputs: Callable[[int, int], list[Tensor]]
    scores: Callable[[int], int]
    products: float
    """How many whole matrix products a streamed loss makes if it keeps nothing: forward, again, two gradients;
    one less if gradients are formed in the forward pass, half of them if the matrix is symmetric."""


def leaves(n: int, d: int, count: int) -> list[Tensor]:
    """So many matrices that want gradients."""
    return [matrix.requires_grad_() for matrix in constants(n, d, count)]


def constants(n: int, d: int, count: int = 1, seed: int = 0) -> list[Tensor]:
    """So many matrices, the same in every process."""
    generator = torch.Generator().manual_seed(n * d + seed)
    return [torch.randn(n, d, generator=generator) for _ in range(count)]


def weighted_edges(n: int) -> tuple[Tensor, Tensor]:
    """Four different positives for each of n queries, and a weight for each."""
    generator = torch.Generator().manual_seed(n)
    first = torch.randint(EDGE_KEYS, (n, 1), generator=generator)
    steps = torch.randint(1, EDGE_KEYS // EDGES_A_QUERY, (n, EDGES_A_QUERY), generator=generator).cumsum(1)
    keys = (first + steps) % EDGE_KEYS
    queries = torch.arange(n).repeat_interleave(EDGES_A_QUERY)
    return torch.stack([queries, keys.flatten()]), torch.rand(len(queries), generator=generator) + 0.1


def with_queue(q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
    """MoCo: the batch's other keys are no candidates, the queue is."""
    return info_nce(q, k, negatives=queue, exclude=~paired(), temperature=formulas.TAU)


def with_edges(q: Tensor, k: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
    """The probabilities of a query's positives, averaged by weight."""
    related = edges(edge_index, weight)
    return info_nce(q, k, positives=related, multi_positive="in", temperature=formulas.TAU)


WORKS = {
    "one way": Work(
        ours=lambda q, k: info_nce(q, k, temperature=formulas.TAU),
        others={"F.cross_entropy": formulas.one_product_one_cross_entropy, **peers.ONE_WAY},
        inputs=lambda n, d: leaves(n, d, 2),
        scores=lambda n: n * n,
        products=3,
    ),
    "symmetric": Work(
        ours=lambda q, k: info_nce(q, k, temperature=formulas.TAU, symmetric=True),
        others={"open_clip's formula": formulas.two_products_two_cross_entropies},
        inputs=lambda n, d: leaves(n, d, 2),
        scores=lambda n: n * n,
        products=4,
    ),
    "NT-Xent": Work(
        ours=lambda a, b: nt_xent(a, b, temperature=formulas.TAU_VIEWS),
        others={
            "F.cross_entropy, masked": formulas.masked_cross_entropy,
            "lightly's formula": formulas.blocks_without_diagonals,
            **peers.VIEWS,
        },
        inputs=lambda n, d: leaves(n, d, 2),
        scores=lambda n: 4 * n * n,
        products=2,
    ),
    "SupCon, 10 labels": Work(
        ours=lambda x, labels: variants.sup_con(x, labels, temperature=formulas.TAU_LABELS),
        others={"materialised mask": formulas.materialised_labels, **peers.LABELS},
        inputs=lambda n, d: [*leaves(n, d, 1), torch.arange(n) % 10],
        scores=lambda n: n * n,
        products=2,
    ),
    "queue of 65,536": Work(
        ours=with_queue,
        others={
            "concatenated logits": formulas.concatenated_queue,
            "materialised mask": formulas.materialised_queue,
        },
        inputs=lambda n, d: [*leaves(n, d, 1), *constants(n, d, seed=1), *constants(QUEUE, d)],
        scores=lambda n: n * QUEUE,
        products=2,
    ),
    "edges to 13,824 keys": Work(
        ours=with_edges,
        others={"materialised weights": formulas.materialised_edges},
        inputs=lambda n, d: [*leaves(n, d, 1), *leaves(EDGE_KEYS, d, 1), *weighted_edges(n)],
        scores=lambda n: n * EDGE_KEYS,
        products=3,
    ),
}


def loss_of_terms(*embeddings: Tensor, **given: Any) -> Tensor:
    """The loss as the systems take it: from the terms, which tell accuracy and more besides."""
    return info_nce_terms(*embeddings, **given).loss()


def by_terms(objective: Callable[..., Tensor], count: int, *more: Callable[[int], Tensor]) -> Work:
    """An objective, which takes the function of the loss first, by the loss of the terms against `info_nce`."""
    return Work(
        ours=partial(objective, loss_of_terms),
        others={"info_nce": partial(objective, info_nce)},
        inputs=lambda n, d: [*leaves(n, d, count), *(make(n) for make in more)],
        scores=lambda n: n * n,
        products=3,
    )


def views(loss: Loss, z: Tensor, count: int) -> Tensor:
    """SimCLR's objective: rows of other views of an example are positives, the row itself is no candidate."""
    related = other_views(len(z) // count)
    return loss(z, z, positives=related, exclude=paired(), temperature=formulas.TAU_VIEWS)


def labels(loss: Loss, z: Tensor, ids: Tensor) -> Tensor:
    """SupCon's objective."""
    return loss(z, z, positives=same(ids) & ~paired(), exclude=paired(), temperature=formulas.TAU_LABELS)


TERMS = {
    "terms, one way": by_terms(lambda loss, q, k: loss(q, k, temperature=formulas.TAU), 2),
    "terms, symmetric": by_terms(lambda loss, q, k: loss(q, k, temperature=formulas.TAU, symmetric=True), 2),
    "terms, SimCLR": by_terms(partial(views, count=2), 1),
    "terms, SupCon": by_terms(labels, 1, lambda n: torch.arange(n) % 10),
    "terms, three views": by_terms(partial(views, count=3), 1),
}
ALL = WORKS | TERMS
