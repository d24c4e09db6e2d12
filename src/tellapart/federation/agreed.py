"""What server and clients agree on before the first round, and the bank that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

_KEYS = 1  # of the random numbers that draw keys, beside those of training


class Bank(NamedTuple):
    """Keys of all clients, and for each the number of its client."""

    keys: Float[Tensor, "k dim"]
    clients: Int[Tensor, " k"]


@dataclass(frozen=True)
class Agreed:
    """What happens in which round. Rounds are counted from 1.

    >>> agreed = Agreed(clients=4, rounds=6, local_epochs=1, bank=100, bank_every=2)
    >>> [agreed.makes_keys_after(number) for number in range(1, 7)], agreed.keys_per_client()
    ([True, False, True, False, True, False], 25)
    """

    clients: int
    rounds: int
    local_epochs: int
    bank: int = 0
    """Keys in the bank at most; 0 for no bank."""
    bank_every: int = 1
    """Rounds between two banks."""
    prototypes: bool = False
    """Whether clients share prototypes of all their examples, and not keys of some."""
    key_momentum: float = 0.0
    """Share of itself that the network of the keys keeps after a round; 0: it is the averaged network."""
    noise: float = 0.0
    """Deviation of Gaussian noise on each entry of a key of length 1."""
    precision: str = "float32"
    """Number format in which keys leave a client."""
    statistics: str = "averaged"
    """One of `STATISTICS`."""
    seed: int = 0

    def keys_per_client(self) -> int:
        """How many keys a client shares at most."""
        return self.bank // self.clients

    def makes_keys_after(self, number: int) -> bool:
        """Whether clients share keys when that round is done; after the last round no query would see them."""
        return self.bank > 0 and (number - 1) % self.bank_every == 0 and number < self.rounds

    def momentum_after(self, number: int) -> float:
        """Of the network of the keys: no more than that of a mean over rounds, so that the first weights do not count.

        >>> agreed = Agreed(clients=4, rounds=6, local_epochs=1, key_momentum=0.6)
        >>> [round(agreed.momentum_after(number), 2) for number in (1, 2, 3)]
        [0.0, 0.5, 0.6]
        """
        return min(self.key_momentum, 1 - 1 / number)

    def recalibrates_after(self, number: int) -> bool:
        """Whether the statistics of batch norms are computed anew: whenever they are used."""
        return self.statistics == "recalibrated" and (self.makes_keys_after(number) or number == self.rounds)

    def sends_statistics(self, number: int) -> bool:
        """Whether a client's statistics leave it with its weights."""
        return self.statistics == "averaged" or (self.statistics == "local" and number == self.rounds)


def drawn_rows(agreed: Agreed, number: int, client: int, n: int) -> Int[Tensor, " k"]:
    """Which of a client's n examples it shares keys of after a round: drawn anew each time. Prototypes are of all.

    >>> agreed = Agreed(clients=4, rounds=6, local_epochs=1, bank=12)
    >>> len(drawn_rows(agreed, number=1, client=0, n=10)), len(drawn_rows(agreed, number=1, client=0, n=2))
    (3, 2)
    """
    if agreed.prototypes:
        return torch.arange(n)
    random = np.random.default_rng([agreed.seed, number, client, _KEYS])
    return torch.from_numpy(np.sort(random.permutation(n)[: agreed.keys_per_client()]))
