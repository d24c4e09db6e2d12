"""The options of clients: how pictures are divided among them, and what they share. The docstrings are the help."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tellapart.domains.pictures.options import PictureOptions
from tellapart.errors import require_option
from tellapart.federation import STATISTICS, Agreed

Split = Literal["dirichlet", "classes", "folders", "even"]
_SHARED = ("keys", "prototypes")


@dataclass(frozen=True)
class ClientOptions(PictureOptions):
    """Clients, what they share, and training."""

    clients: int = 10
    """Clients among which the pictures are divided."""
    split: Split = "dirichlet"
    """How: "dirichlet" and "classes" by labels, "folders" a folder a client, "even" at random."""
    alpha: float = 0.5
    """Of the Dirichlet split: the smaller, the fewer classes most of a client's pictures are of."""
    classes_per_client: int = 2
    """Of the split by classes."""
    local_epochs: int = 1
    """How often a client sees its pictures in a round; there are `epochs / local_epochs` rounds."""
    bank: int = 0
    """Keys in the shared bank, of all clients together; 0 for no bank, and then no key leaves a client."""
    bank_every: int = 1
    """Rounds between two banks."""
    bank_weight: float = 1.0
    """How often each key of the bank counts among the candidates; 0 for no bank."""
    bank_of: Literal["keys", "prototypes"] = "keys"
    """What a client shares: keys of some of its pictures, or the means of groups of the keys of all, by k-means."""
    bank_alike: float = 1.0
    """Cosine with a view from which a key of the bank is no candidate, as a likely false negative; 1 keeps all."""
    key_momentum: float = 0.0
    """Share of itself that the network of the keys keeps after a round; 0: the averaged network makes the keys."""
    noise: float = 0.0
    """Deviation of Gaussian noise on each entry of a key of length 1."""
    key_precision: Literal["float32", "float16"] = "float16"
    """Number format in which keys leave a client."""
    statistics: Literal["averaged", "local", "recalibrated"] = "averaged"
    """Those of batch norms: the mean of the clients', each client's own, or computed anew by the averaged weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("clients", 1 <= self.clients <= 10_000, "lie between 1 and 10000", self.clients)
        require_option("alpha", 0 < self.alpha < math.inf, "be positive and finite", self.alpha)
        for name in ("classes_per_client", "bank_every"):
            require_option(name, getattr(self, name) >= 1, "be at least 1", getattr(self, name))
        divides = self.local_epochs >= 1 and self.epochs % self.local_epochs == 0
        require_option("local_epochs", divides, f"divide epochs, {self.epochs}", self.local_epochs)
        is_bank = self.bank == 0 or self.clients <= self.bank <= 2**20
        require_option("bank", is_bank, f"be 0, or lie between {self.clients}, the clients, and {2**20}", self.bank)
        for name in ("bank_weight", "noise"):
            value = getattr(self, name)
            require_option(name, 0 <= value < math.inf, "be at least 0 and finite", value)
        must = "be above 0 and at most 1"
        require_option("bank_alike", 0 < self.bank_alike <= 1, must, self.bank_alike)
        require_option("key_momentum", 0 <= self.key_momentum < 1, "lie in [0, 1)", self.key_momentum)
        known = self.statistics in STATISTICS
        require_option("statistics", known, f"be one of {', '.join(STATISTICS)}", self.statistics)
        fits = self.key_momentum == 0 or self.statistics != "local"
        must = "be 0 where statistics are local: a client's own are of other weights"
        require_option("key_momentum", fits, must, self.key_momentum)
        require_option("bank_of", self.bank_of in _SHARED, f"be one of {', '.join(_SHARED)}", self.bank_of)

    def agreed(self) -> Agreed:
        """What server and clients agree on."""
        return Agreed(
            clients=self.clients,
            rounds=self.epochs // self.local_epochs,
            local_epochs=self.local_epochs,
            bank=self.bank if self.bank_weight > 0 else 0,
            bank_every=self.bank_every,
            prototypes=self.bank_of == "prototypes",
            key_momentum=self.key_momentum if self.bank and self.bank_weight else 0.0,
            noise=self.noise,
            precision=self.key_precision,
            statistics=self.statistics,
            seed=self.seed,
        )
