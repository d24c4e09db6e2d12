"""A round as a step of the training loop, which keeps checkpoints and log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tellapart.errors import InputError
from tellapart.federation.model import Federation
from tellapart.federation.work import Work

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from tellapart.federation.rounds import LocalRounds
    from tellapart.training import Loop


class FederatedStep:
    """One round: clients train one after the other, and the model takes the mean of their weights.

    | entry of the log | what it is |
    |---|---|
    | `loss`, `n_candidates` | means over the clients, weighted by their examples |
    | `clients`, `clients_left_out` | with weights that were averaged, and with a reply that could not be used |
    | `bytes_of_weights` | what leaves a client as weights and statistics |
    | `bytes_of_keys`, `keys_of_a_client`, `bits_of_a_key_entry` | and as keys; only where keys were shared |
    | `length_of_mean_key` | of the bank; at 1 all keys have one direction, and tell nothing apart |

    Args:
        model: network and bank.
        work_of: called as `work_of(network, client)`: what a client does; all have the same working copy.
        clients: how many there are.

    Raises:
        InputError: flwr is missing.
    """

    def __init__(self, model: Federation, work_of: Callable[[nn.Module, int], Work], clients: int) -> None:
        check_flower()
        self.model, self.work_of, self.clients = model, work_of, clients

    def optimizers(self, n_steps: int) -> Sequence[tuple[Optimizer, LRScheduler | None]]:
        """None: each client has a new one in each round."""
        del n_steps
        return []

    def __call__(self, batch: Any, loop: Loop) -> Mapping[str, Tensor | float]:
        """A round."""
        del batch
        return self._rounds.run(loop.step)

    @cached_property
    def _rounds(self) -> LocalRounds:
        """Made when the model is on its device."""
        from tellapart.federation.rounds import LocalRounds

        network = self.model.a_copy()
        return LocalRounds(self.model, [self.work_of(network, client) for client in range(self.clients)])


def check_flower() -> None:
    """Raise `InputError` unless flwr is installed."""
    try:
        import flwr  # noqa: F401
    except ImportError as error:
        what = f"federated: the package {error.name} is missing. pip install 'tellapart[federated]'."
        raise InputError(what) from error
