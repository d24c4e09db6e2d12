"""Which keys of the bank are candidates of a client's views."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tellapart.federation.agreed import Bank
from tellapart.negatives import alike
from tellapart.relations import Relation, same

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    Views = tuple[Float[Tensor, "n dim"], ...]


def left_out(views: Views, bank: Bank, client: int, cosine: float) -> Relation:
    """Keys that are no candidates of a view: the client's own, and those that are as alike to it as `cosine`."""
    device = views[0].device
    own = same(torch.full((2 * len(views[0]),), client, device=device), bank.clients.to(device))
    return own if cosine == 1 else own | alike(torch.cat(views), bank.keys.to(device), cosine)


def n_candidates(views: Views, bank: Bank | None, client: int, cosine: float) -> float:
    """How many candidates a view has, in the mean."""
    n = 2 * len(views[0])
    if bank is None:
        return n - 1
    k = len(bank.keys)
    without, _ = left_out(views, bank, client, cosine).counts(n, k, views[0].device)
    return n - 1 + k - without.float().mean().item()
