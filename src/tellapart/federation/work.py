"""What one client does with its examples: local training, keys for the bank, statistics of batch norms. Plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from tellapart.errors import InputError
from tellapart.federation.agreed import Agreed, Bank, drawn_rows
from tellapart.federation.prototypes import prototypes
from tellapart.federation.statistics import as_of, names_of, recalibrate
from tellapart.scores import unit
from tellapart.training import Batches, TrainingOptions, seed_step, usual_optimizer

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    Weights = dict[str, Tensor]

_OF_KEYS, _OF_STATISTICS = 2**32, 2**33  # beyond all steps, for the seeds of views that train nothing
_CHUNK = 256


class Loss(NamedTuple):
    """A batch's loss in nats, and with how many candidates."""

    value: Float[Tensor, ""]
    n_candidates: float


@dataclass
class Work:
    """A client's examples, and the network that it trains.

    A round begins with the server's weights and a new optimizer. The step size goes on where the last round left it:
    a linear warm-up, then half a cosine, over the steps of all rounds. Batches and random numbers of a step are those
    of `tellapart.training.fit` on a device with the client's number.

    Args:
        network: made anew or shared with other clients; all its state is set before it is used.
        loss: called as `loss(network, batch, bank, client)`.
        view: called as `view(batch)`: one random view of each example.
        batch: the batch of some rows of this client.
        n: how many examples the client has.
        number: the client's number.
        options: batch size, step size, weight decay and seed.
        agreed: what is done in which round.
    """

    network: nn.Module
    loss: Callable[[nn.Module, Any, Bank | None, int], Loss]
    view: Callable[[Any], Tensor]
    batch: Callable[[Tensor], Any]
    n: int
    number: int
    options: TrainingOptions
    agreed: Agreed

    def train(self, weights: Weights, bank: Bank | None, number: int) -> dict[str, float]:
        """Train through the client's examples `local_epochs` times, and return the means of what was measured.

        Raises:
            InputError: a loss is not finite.
        """
        self._set(weights)
        batches = self._batches(self.agreed.rounds * self.agreed.local_epochs)
        n_steps, per_round = batches.n_steps(1), self._batches(self.agreed.local_epochs).n_steps(1)
        begin = (number - 1) * per_round
        optimizer, schedule = usual_optimizer(self.network, self.options, n_steps, begin=begin)
        self.network.train()
        found = []
        for step in range(begin, begin + per_round):
            seed_step(self.agreed.seed, step, self.number)
            loss = self.loss(self.network, self.batch(batches.rows(step, 0, 1)), bank, self.number)
            if not math.isfinite(loss.value.item()):
                raise InputError(f"the loss became {loss.value.item()} in step {step + 1}. Lower the learning rate.")
            with torch.autocast(loss.value.device.type, enabled=False):
                optimizer.zero_grad()
                loss.value.backward()
                optimizer.step()
                schedule.step()
            torch.clear_autocast_cache()  # which a training that mixes precisions has of the weights before this step
            found.append((loss.value.item(), loss.n_candidates))
        mean = [sum(column) / len(found) for column in zip(*found, strict=True)]
        return dict(zip(("loss", "n_candidates"), mean, strict=True))

    @torch.no_grad()
    def keys(self, weights: Weights, number: int) -> Float[Tensor, "k dim"]:
        """Keys of length 1 of random views of some examples, or prototypes of all; with noise if there is to be some.

        Batch norms take their running statistics: no key depends on the other examples.
        """
        self._set(weights)
        self.network.eval()
        rows = drawn_rows(self.agreed, number, self.number, self.n)
        seed_step(self.agreed.seed, _OF_KEYS + number, self.number)
        keys = unit(torch.cat([self.network(self.view(self.batch(part))) for part in rows.split(_CHUNK)]).float()).cpu()
        if self.agreed.prototypes:
            keys = prototypes(keys, self.agreed.keys_per_client(), seed=self.number)
        if self.agreed.noise:
            keys = keys + self.agreed.noise * torch.randn_like(keys)
        return keys.to(getattr(torch, self.agreed.precision))

    def statistics(self, weights: Weights, number: int) -> Weights:
        """The statistics of batch norms that the client's examples have under these weights."""
        self._set(weights)
        batches = self._batches(1)
        seed_step(self.agreed.seed, _OF_STATISTICS + number, self.number)

        def views() -> Iterator[Tensor]:
            for step in range(batches.n_steps(1)):
                yield self.view(self.batch(batches.rows(step, 0, 1)))

        recalibrate(self.network, views())
        return self.own_statistics()

    def own_statistics(self) -> Weights:
        """The statistics as they are."""
        state = self.network.state_dict()
        return {name: state[name].clone() for name in names_of(self.network)}

    def _set(self, weights: Weights) -> None:
        state = self.network.state_dict()
        self.network.load_state_dict(state | {name: as_of(value, state[name]) for name, value in weights.items()})

    def _batches(self, epochs: int) -> Batches:
        return Batches(self.n, min(self.options.batch_size, self.n), epochs, self.options.seed)
