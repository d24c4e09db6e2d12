"""The losses as they are commonly written: whole matrices, masks by index. What tellapart is timed against.

Each takes the same inputs as its counterpart in `loss.py`, and each is our own wording of the formula.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

TAU = 0.07
TAU_VIEWS = 0.5
TAU_LABELS = 0.1


def one_product_one_cross_entropy(q: Tensor, k: Tensor) -> Tensor:
    """One way: `F.cross_entropy` of the whole matrix."""
    logits = normalize(q) @ normalize(k).T / TAU
    return cross_entropy(logits, torch.arange(len(q)))


def two_products_two_cross_entropies(q: Tensor, k: Tensor) -> Tensor:
    """Both ways as open_clip's ClipLoss has it: each direction its own product."""
    q, k, target = normalize(q), normalize(k), torch.arange(len(q))
    return (cross_entropy(q @ k.T / TAU, target) + cross_entropy(k @ q.T / TAU, target)) / 2


def masked_cross_entropy(a: Tensor, b: Tensor) -> Tensor:
    """NT-Xent: `F.cross_entropy` of one matrix with its diagonal masked."""
    z, n = normalize(torch.cat([a, b])), len(a)
    logits = (z @ z.T / TAU_VIEWS).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    return cross_entropy(logits, torch.arange(2 * n).roll(n))


def blocks_without_diagonals(a: Tensor, b: Tensor, temperature: float = TAU_VIEWS) -> Tensor:
    """NT-Xent as lightly's NTXentLoss has it: four blocks, the diagonals of two cut out by boolean index."""
    a, b, n = normalize(a), normalize(b), len(a)
    off = ~torch.eye(n, dtype=torch.bool)
    own = [(x @ x.T / temperature)[off].view(n, n - 1) for x in (a, b)]
    across = [a @ b.T / temperature, b @ a.T / temperature]
    logits = torch.cat([torch.cat([across[0], own[0]], 1), torch.cat([across[1], own[1]], 1)])
    return cross_entropy(logits, torch.arange(n).repeat(2))


def materialised_labels(x: Tensor, labels: Tensor) -> Tensor:
    """SupCon ("out") as its authors have it: a mask of positives, a mask of oneself, raw exponentials."""
    z = normalize(x)
    logits = z @ z.T / TAU_LABELS
    logits = logits - logits.max(1, keepdim=True).values.detach()
    others = ~torch.eye(len(z), dtype=torch.bool)
    positives = (labels[:, None] == labels) & others
    log_p = logits - (logits.exp() * others).sum(1, keepdim=True).log()
    return -((positives * log_p).sum(1) / positives.sum(1)).mean()


def concatenated_queue(q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
    """MoCo: the positive's column before the queue's, `F.cross_entropy` with target 0."""
    q, k, queue = normalize(q), normalize(k), normalize(queue)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / TAU
    return cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))


def materialised_queue(q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
    """MoCo: one matrix of the batch's keys and the queue, the batch's other keys masked."""
    logits = normalize(q) @ normalize(torch.cat([k, queue])).T / TAU
    candidates = torch.cat([torch.eye(len(k), dtype=torch.bool), torch.ones(len(k), len(queue), dtype=torch.bool)], 1)
    return cross_entropy(logits.masked_fill(~candidates, -torch.inf), torch.arange(len(q)))


def materialised_edges(q: Tensor, k: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
    """Weighted positives ("in"): a matrix of their weights, log-sum-exp with it and without."""
    logits = normalize(q) @ normalize(k).T / TAU
    weights = torch.zeros(len(q), len(k), dtype=weight.dtype).index_put_(tuple(edge_index), weight)
    found = (logits + weights.log()).logsumexp(1) - weights.sum(1).log()
    return (logits.logsumexp(1) - found).mean()
