"""The server: one round of local training, averaging and sharing keys, over any grid of Flower."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from tellapart.errors import InputError
from tellapart.federation.flower import (
    KEPT,
    Averaging,
    bytes_of,
    client_app,
    from_arrays,
    to_arrays,
    trouble_with_arrays,
    trouble_with_keys,
    usable,
)
from tellapart.federation.grid import LocalGrid
from tellapart.federation.model import Federation
from tellapart.federation.statistics import merged
from tellapart.federation.work import Work
from tellapart.scores import unit

_HOUR, _PAUSE = 3600.0, 0.5  # seconds

Say = Callable[[str], None]


def say(line: str) -> None:
    """Print a line about a client."""
    print(line, file=sys.stderr, flush=True)


class LocalRounds:
    """Rounds with all clients in this process.

    Args:
        model: what the server keeps.
        works: what each client does.
    """

    def __init__(self, model: Federation, works: Sequence[Work]) -> None:
        logging.getLogger("flwr").setLevel(logging.ERROR)
        self.model = model
        self.contexts = {
            number: Context(0, number, {"partition-id": number}, RecordDict(), {}) for number in range(len(works))
        }
        self.grid = LocalGrid(client_app(lambda context: works[context.node_id]), self.contexts)

    def run(self, number: int) -> dict[str, float]:
        """One round. What clients keep between rounds is in the model, and so in the checkpoint."""
        for client, context in self.contexts.items():
            if kept := self.model.statistics_of(client):
                context.state[KEPT] = to_arrays(kept)
        found = one_round(self.grid, self.model, number, say, timeout=0)
        for client, context in self.contexts.items():
            if KEPT in context.state:
                self.model.keep_statistics(client, from_arrays(context.state.array_records[KEPT]))
        return found


def one_round(grid: Grid, model: Federation, number: int, say: Say, timeout: float = _HOUR) -> dict[str, float]:
    """Let clients train, average their weights and, if it is time, make statistics and bank anew.

    Args:
        grid: carries the messages.
        model: the network and bank, changed in place.
        number: of the round, from 1.
        say: called with a line for each client that is left out.
        timeout: seconds to wait for replies; in the first round, for all clients; in all others, for one.

    Raises:
        InputError: no client is there, or none can be used.
    """
    agreed = model.agreed
    _wait_for_clients(grid, agreed.clients if number == 1 else 1, number, timeout)
    if (there := len(list(grid.get_node_ids()))) < agreed.clients:
        say(f"round {number}: {there} of {agreed.clients} clients are there.")
    expected = _shapes(model, agreed.sends_statistics(number))
    strategy = Averaging(model.read_bank(), expected, say)
    sent = to_arrays(model.weights(with_statistics=agreed.statistics == "averaged"))
    result = strategy.start(grid, sent, 1, timeout, train_config=ConfigRecord({"round": number}))
    _check(strategy.used, "weights", number)
    model.take(from_arrays(result.arrays))
    model.follow(number)
    metrics = result.train_metrics_clientapp[1]
    found = {
        "loss": float(metrics["loss"]),
        "n_candidates": float(metrics["n_candidates"]),
        "clients": float(len(strategy.used)),
        "clients_left_out": float(strategy.left_out),
        "bytes_of_weights": float(max(map(bytes_of, strategy.used))),
    }
    if agreed.recalibrates_after(number):
        used = model.key_network if agreed.makes_keys_after(number) else model.network
        found["bytes_of_weights"] += _recalibrate(grid, model, used, number, say, timeout)
    if agreed.makes_keys_after(number):
        found |= _share_keys(grid, model, number, say, timeout)
    return found


def _recalibrate(grid: Grid, model: Federation, network: nn.Module, number: int, say: Say, timeout: float) -> int:
    """Give a network the statistics of all clients' examples; the bytes that left a client for it."""
    expected = {name: shape for name, shape in _shapes(model, True).items() if name not in model.weights(False)}
    sent = model.weights(with_statistics=True, of=network)
    used = _ask(grid, sent, "statistics", number, timeout, partial(trouble_with_arrays, expected), say)
    _check(used, "statistics", number)
    examples = [float(message.content.metric_records["metrics"]["num-examples"]) for message in used]
    parts = [from_arrays(message.content.array_records["arrays"]) for message in used]
    model.take(merged(parts, [n / sum(examples) for n in examples]), into=network)
    return max(map(bytes_of, used))


def _share_keys(grid: Grid, model: Federation, number: int, say: Say, timeout: float) -> dict[str, float]:
    """Replace the bank by keys of this round: no older one stays."""
    agreed, bank = model.agreed, model.bank
    assert bank is not None
    trouble = partial(trouble_with_keys, agreed.keys_per_client(), bank.keys.shape[1], agreed.precision)
    sent = model.weights(with_statistics=agreed.statistics != "local", of=model.key_network)
    used = _ask(grid, sent, "keys", number, timeout, trouble, say)
    _check(used, "keys", number)
    keys = [from_arrays(message.content.array_records["keys"])["keys"].float() for message in used]
    clients = [int(message.content.metric_records["metrics"]["client"]) for message in used]
    owners = torch.tensor(clients).repeat_interleave(torch.tensor([len(part) for part in keys]))
    model.replace_bank(number, torch.cat(keys), owners)
    return {
        "length_of_mean_key": float(unit(torch.cat(keys)).mean(dim=0).norm()),
        "bytes_of_keys": float(max(map(bytes_of, used))),
        "keys_of_a_client": float(max(map(len, keys))),
        "bits_of_a_key_entry": float(torch.finfo(getattr(torch, agreed.precision)).bits),
    }


def _ask(
    grid: Grid,
    sent: dict[str, Tensor],
    what: str,
    number: int,
    timeout: float,
    trouble: Callable[[Message], str | None],
    say: Say,
) -> list[Message]:
    """The usable replies of all clients to a query about some weights."""
    content = RecordDict({"arrays": to_arrays(sent), "config": ConfigRecord({"round": number})})
    messages = [Message(content, node, f"query.{what}") for node in sorted(grid.get_node_ids())]
    return usable(grid.send_and_receive(messages, timeout=timeout), len(messages), number, trouble, say)


def _wait_for_clients(grid: Grid, wanted: int, number: int, timeout: float) -> None:
    """Until so many are there or the time is over; Flower itself would wait for ever."""
    end = time.monotonic() + timeout
    while (there := len(list(grid.get_node_ids()))) < wanted and time.monotonic() < end:
        time.sleep(_PAUSE)
    if not there:
        raise InputError(f"round {number}: no client has connected within {timeout:.0f} seconds.")


def _shapes(model: Federation, with_statistics: bool) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.weights(with_statistics).items()}


def _check(used: Sequence[Message], what: str, number: int) -> None:
    if not used:
        raise InputError(f"round {number}: no client's {what} could be used. The lines above say why.")
