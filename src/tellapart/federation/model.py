"""What the server keeps: the network, the bank, and on behalf of clients in one process their statistics."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from tellapart.federation.agreed import Agreed, Bank
from tellapart.federation.statistics import as_of, names_of
from tellapart.negatives import KeyQueue

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart.runs import InChunks

    Weights = dict[str, Tensor]


class Federation(nn.Module):
    """The network with the averaged weights, and its slow copy if that makes the keys; all is in a run's checkpoint.

    Args:
        network: with a method `embed`.
        dim: the length of its keys.
        agreed: what is done in which round.
    """

    of_its_data = ("bank", "bank_round", "statistics")
    copies: ClassVar = {"slow": "network"}
    bank_round: Int[Tensor, ""] | None

    def __init__(self, network: nn.Module, dim: int, agreed: Agreed) -> None:
        super().__init__()
        self.network = network
        self.slow = copy.deepcopy(network).requires_grad_(False) if agreed.key_momentum else None
        self.agreed = agreed
        self.bank = KeyQueue(agreed.bank, dim) if agreed.bank else None
        # After which round its keys were made: weights of an earlier round may be the best.
        self.register_buffer("bank_round", torch.zeros((), dtype=torch.long) if agreed.bank else None)
        own = nn.Module()
        for name, value in self._statistics().items() if agreed.statistics == "local" else ():
            own.register_buffer(name.replace(".", "/"), torch.stack([value] * agreed.clients))
        self.statistics = own

    def embed(self, pictures: InChunks) -> Float[Tensor, "n features"]:
        """The features of examples, of length 1."""
        found: Tensor = self.network.embed(pictures)  # type: ignore[operator]
        return found

    def a_copy(self) -> nn.Module:
        """A network for clients to train."""
        return copy.deepcopy(self.network)

    @property
    def key_network(self) -> nn.Module:
        """The network that makes the keys of the bank."""
        return self.network if self.slow is None else self.slow

    @torch.no_grad()
    def follow(self, number: int) -> None:
        """After a round, `slow ← m·slow + (1 − m)·network`, the statistics of batch norms included."""
        if self.slow is None:
            return
        share, new = 1 - self.agreed.momentum_after(number), self.network.state_dict()
        for name, value in self.slow.state_dict().items():
            value.copy_(value.lerp(new[name], share) if value.is_floating_point() else new[name])

    def weights(self, with_statistics: bool, of: nn.Module | None = None) -> Weights:
        """What clients begin with; or those of another network."""
        network = self.network if of is None else of
        state = {name: value.detach().clone() for name, value in network.state_dict().items()}
        left_out = set() if with_statistics else set(names_of(network))
        return {name: value for name, value in state.items() if name not in left_out}

    @torch.no_grad()
    def take(self, weights: Weights, into: nn.Module | None = None) -> None:
        """Take averaged weights, or set another network to them; what they lack stays."""
        state = (self.network if into is None else into).state_dict()
        for name, value in weights.items():
            state[name].copy_(as_of(value, state[name]))

    @torch.no_grad()
    def replace_bank(self, number: int, keys: Float[Tensor, "k dim"], clients: Int[Tensor, " k"]) -> None:
        """Put the keys of a round into the bank: no older one stays."""
        assert self.bank is not None
        assert self.bank_round is not None
        self.bank.replace(keys, clients)
        self.bank_round.fill_(number)

    def read_bank(self) -> Bank | None:
        """The bank, if it has keys."""
        return Bank(*self.bank.read()) if self.bank is not None and len(self.bank) else None

    def statistics_of(self, client: int) -> Weights:
        """A client's own, if they are kept."""
        return {name.replace("/", "."): value[client] for name, value in self.statistics.named_buffers()}

    @torch.no_grad()
    def keep_statistics(self, client: int, found: Weights) -> None:
        """Keep a client's own."""
        own = dict(self.statistics.named_buffers())
        for name, value in found.items():
            kept = own[name.replace(".", "/")]
            kept[client] = as_of(value, kept[client])

    def _statistics(self) -> Weights:
        state = self.network.state_dict()
        return {name: state[name] for name in names_of(self.network)}
