"""Local training as an app of Flower, and the server's averaging as one of its strategies.

| message | to a client | from it |
|---|---|---|
| `train` | weights, bank | weights, number of examples, loss |
| `query.statistics` | weights | statistics of batch norms, number of examples |
| `query.keys` | weights, of the averaged or the slow network | keys, or prototypes |

Each carries the number of the round. Only the client's own weights, statistics and keys leave it, and what the log
says of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from tellapart.federation.agreed import Bank
from tellapart.federation.work import Work

if TYPE_CHECKING:
    from torch import Tensor

    Shapes = dict[str, tuple[int, ...]]
    Weights = dict[str, Tensor]

_OF_REPLY, _MEASURED = ("num-examples", "client", "round"), ("loss", "n_candidates")
KEPT = "statistics"  # of a client, in its context


def to_arrays(weights: Weights) -> ArrayRecord:
    """Tensors as arrays of Flower."""
    return ArrayRecord({name: Array(value.detach().cpu().numpy()) for name, value in weights.items()})


def from_arrays(arrays: ArrayRecord) -> Weights:
    """Arrays of Flower as tensors."""
    return {name: torch.from_numpy(np.array(array.numpy())) for name, array in arrays.items()}


def bytes_of(message: Message) -> int:
    """The bytes of a message's arrays."""
    return sum(len(array.data) for record in message.content.array_records.values() for array in record.values())


def client_app(work_of: Callable[[Context], Work]) -> ClientApp:
    """The app of all clients.

    Args:
        work_of: finds or makes the work of the client that has this context.
    """
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        work, number = work_of(context), _number(message)
        bank = message.content.array_records.get("bank")
        found = work.train(_weights(message, context, work), None if bank is None else _bank(bank), number)
        own = work.own_statistics()
        if work.agreed.statistics == "local":
            context.state[KEPT] = to_arrays(own)
        left_out = set() if work.agreed.sends_statistics(number) else set(own)
        state = {name: value for name, value in work.network.state_dict().items() if name not in left_out}
        return _reply(message, work, {"arrays": to_arrays(state)}, found)

    @app.query("statistics")
    def statistics(message: Message, context: Context) -> Message:
        work = work_of(context)
        found = work.statistics(_weights(message, context, work), _number(message))
        return _reply(message, work, {"arrays": to_arrays(found)})

    @app.query("keys")
    def keys(message: Message, context: Context) -> Message:
        work = work_of(context)
        found = work.keys(_weights(message, context, work), _number(message))
        return _reply(message, work, {"keys": to_arrays({"keys": found})})

    return app


def _weights(message: Message, context: Context, work: Work) -> Weights:
    """The server's weights, and the client's own statistics if it has kept some."""
    weights = from_arrays(message.content.array_records["arrays"])
    kept = context.state.array_records.get(KEPT) if work.agreed.statistics == "local" else None
    return weights if kept is None else weights | from_arrays(kept)


def _bank(record: ArrayRecord) -> Bank:
    found = from_arrays(record)
    return Bank(found["keys"].float(), found["clients"])


def _number(message: Message) -> int:
    number = message.content.config_records["config"]["round"]
    assert isinstance(number, int)
    return number


def _reply(
    message: Message, work: Work, records: dict[str, ArrayRecord], found: dict[str, float] | None = None
) -> Message:
    metrics = MetricRecord({"num-examples": work.n, "client": work.number, "round": _number(message), **(found or {})})
    return Message(RecordDict({**records, "metrics": metrics}), reply_to=message)


class Averaging(FedAvg):
    """FedAvg that sends the bank along, and averages only the replies that can be used, in the order of the clients.

    Args:
        bank: sent with the weights.
        expected: the shapes of what a client is to reply, by name.
        say: called with a line for each reply that is left out.
    """

    def __init__(self, bank: Bank | None, expected: Shapes, say: Callable[[str], None]) -> None:
        super().__init__(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1)
        self.bank, self.expected, self.say = bank, expected, say
        self.number, self.n_sent, self.used, self.left_out = 0, 0, list[Message](), 0

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The messages of FedAvg, with the bank."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self.number, self.n_sent = int(config["round"]), len(messages)
        if self.bank is not None:
            bank = to_arrays(self.bank._asdict())
            for message in messages:
                message.content["bank"] = bank
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The mean of the replies that can be used, weighted by their numbers of examples."""
        self.used = usable(replies, self.n_sent, self.number, self._trouble, self.say)
        self.left_out = self.n_sent - len(self.used)
        arrays, metrics = super().aggregate_train(server_round, self.used)
        return arrays, metrics

    def _trouble(self, message: Message) -> str | None:
        return trouble_with_metrics(message) or trouble_with_arrays(self.expected, message)


def trouble_with_metrics(message: Message) -> str | None:
    """Why what a client measured cannot be averaged, if so; Flower itself would drop the replies of all."""
    metrics = message.content.metric_records["metrics"]
    if set(message.content) != {"arrays", "metrics"} or set(metrics) != {*_OF_REPLY, *_MEASURED}:
        return "its reply has other records than were asked for"
    for name in _MEASURED:
        value = metrics[name]
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return f"its {name} is {value}"
    return None


def trouble_with_arrays(expected: Shapes, message: Message) -> str | None:
    """Why arrays cannot be averaged, if so."""
    arrays = message.content.array_records.get("arrays", ArrayRecord())
    if wrong := sorted(set(arrays) ^ set(expected)):
        return f"its reply has other arrays than were asked for, such as {wrong[0]}"
    for name, value in from_arrays(arrays).items():
        if tuple(value.shape) != expected[name]:
            return f"its {name} has the shape {tuple(value.shape)}, not {expected[name]}"
        if not bool(value.isfinite().all()):
            return f"its {name} is not finite"
    return None


def trouble_with_keys(most: int, dim: int, precision: str, message: Message) -> str | None:
    """Why keys cannot enter the bank, if so."""
    keys = from_arrays(message.content.array_records.get("keys", ArrayRecord())).get("keys")
    if keys is None:
        return "its reply has no keys"
    if keys.ndim != 2 or not 1 <= len(keys) <= most or keys.shape[1] != dim:
        return f"its keys have the shape {tuple(keys.shape)}, not ({most} at most, {dim})"
    if keys.dtype != getattr(torch, precision):
        return f"its keys are {keys.dtype}, not torch.{precision}".replace("torch.", "")
    if not bool(keys.isfinite().all()):
        return "its keys are not finite"
    return None


def usable(
    replies: Iterable[Message],
    n_sent: int,
    number: int,
    trouble: Callable[[Message], str | None],
    say: Callable[[str], None],
) -> list[Message]:
    """The replies that can be used, in the order of the clients' numbers; of the others a line says why not.

    Args:
        replies: of clients.
        n_sent: how many clients were asked.
        number: the round.
        trouble: what else is wrong with a reply, in words.
        say: called with each line.
    """
    kept: dict[int, Message] = {}
    found = list(replies)
    if len(found) < n_sent:
        say(f"round {number}: {n_sent - len(found)} of {n_sent} clients are left out, they did not reply in time.")
    for reply in found:
        if reply.has_error():
            say(f"round {number}: a client is left out, {' '.join(reply.error.reason.split())[:300]}")
            continue
        metrics = reply.content.metric_records.get("metrics", MetricRecord())
        client = metrics.get("client")
        if not isinstance(client, int) or not isinstance(metrics.get("num-examples"), int):
            why: str | None = "its reply says neither which client it is nor how many examples it has"
        elif metrics["num-examples"] <= 0:
            why = "it has no examples"
        elif metrics.get("round") != number:
            why = f"its reply is stale, of round {metrics.get('round')}"
        elif client in kept:
            why = "it replied twice"
        else:
            why = trouble(reply)
        if why is None:
            kept[client] = reply
        else:
            say(f"round {number}: client {client} is left out, {why}.")
    return [kept[client] for client in sorted(kept)]
