"""Training where the data are: clients train a copy of the network, a server averages their weights and shares keys.

`splits` divides data among clients, `work` is what one client does, `statistics` those of batch norms, `agreed` what
server and clients agree on. These need no more than torch. `flower` says it in messages of Flower, `grid` carries these
within one process, and `rounds` is the server; they need flwr and are imported when a training begins.
"""

from tellapart.federation.agreed import Agreed, Bank, drawn_rows
from tellapart.federation.model import Federation
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
    "merged",
]
