"""Training where the data are: clients train a copy of the network, a server averages their weights and shares keys.

`splits` divides data among clients, `work` is what one client does, `statistics` those of batch norms, `prototypes`
what it can share in place of keys, `candidates` which keys of others it compares with, `agreed` what server and clients
agree on. These need no more than torch, and prototypes scikit-learn. `flower` says it in messages of Flower, `grid`
carries these within one process, and `rounds` is the server; they need flwr and are imported when a training begins.
"""

from tellapart.federation.agreed import Agreed, Bank, drawn_rows
from tellapart.federation.candidates import left_out, n_candidates
from tellapart.federation.model import Federation
from tellapart.federation.prototypes import prototypes
from tellapart.federation.splits import by_classes, by_dirichlet, evenly
from tellapart.federation.statistics import STATISTICS, merged
from tellapart.federation.step import FederatedStep
from tellapart.federation.work import Loss, Work

__all__ = [
    "STATISTICS",
    "Agreed",
    "Bank",
    "FederatedStep",
    "Federation",
    "Loss",
    "Work",
    "by_classes",
    "by_dirichlet",
    "drawn_rows",
    "evenly",
    "left_out",
    "merged",
    "n_candidates",
    "prototypes",
]
