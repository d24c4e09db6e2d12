"""The system federated on several machines: `server` and `client` are what Flower runs.

An app of Flower is a folder with a `pyproject.toml` that names both and has the options of the training, as the one in
docs/federated.md. On each client's machine `--node-config` of its SuperNode says which client it is and where its
pictures are.

| option of the app, beside those of the system | what it is |
|---|---|
| `run` | the run folder on the server's machine, from the root |
| `side`, `channels` | to which shape clients bring their pictures |
| `timeout` | seconds that the server waits for clients in each round |

| of a SuperNode | what it is |
|---|---|
| `partition-id` | the client's number, from 0 |
| `data` | its pictures, as for `tellapart train simclr` |
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.domains.pictures import ImageShape, load_splits
from tellapart.errors import require_option
from tellapart.federation.deployed import server_app
from tellapart.federation.flower import client_app
from tellapart.runs import Run
from tellapart.systems.federated import FINAL, Config, make_model, work_for
from tellapart.systems.options import read_options
from tellapart.training import TrainerOptions, begin

if TYPE_CHECKING:
    from flwr.app import Context

    from tellapart.federation import Federation, Work

_SYSTEM, _OWN = "federated", ("run", "side", "channels", "timeout")
_HOUR = 3600


def _prepare(context: Context) -> tuple[Federation, Run, float]:
    """The server's model and run; a run that has begun goes on."""
    config, shape = _agreed(context)
    run = Run(Path(str(context.run_config.get("run", ""))))
    require_option("run", run.folder.is_absolute(), "be a folder named from the root", repr(str(run.folder)))
    begin(run, _SYSTEM, config, TrainerOptions(), final=FINAL)
    shape.note(run)
    return make_model(config, shape), run, float(context.run_config.get("timeout", _HOUR))


@cache
def _work(number: int, data: str, options: tuple[tuple[str, Any], ...]) -> Work:
    """The work of the client that has these pictures."""
    config, shape = _options(dict(options))
    must = f"lie between 0 and {config.clients - 1}, the clients but one"
    require_option("partition-id", 0 <= number < config.clients, must, number)
    own, _ = load_splits(data, *shape)
    return work_for(config, shape, own, make_model(config, shape).a_copy(), number)


def _work_of(context: Context) -> Work:
    node = context.node_config
    for name in ("partition-id", "data"):
        require_option(name, name in node, "be in the SuperNode's --node-config", "nothing")
    number, data = node["partition-id"], str(node["data"])
    return _work(int(number), data, tuple(sorted(context.run_config.items())))


def _agreed(context: Context) -> tuple[Config, ImageShape]:
    return _options(dict(context.run_config))


def _options(given: dict[str, Any]) -> tuple[Config, ImageShape]:
    for name in ("side", "channels"):
        require_option(name, type(given.get(name)) is int, "be a whole number, in the app's options", given.get(name))
    named = {name: value for name, value in given.items() if name not in _OWN}
    config, _ = read_options(_SYSTEM, named | {"data": "at the clients"})
    assert isinstance(config, Config)
    return config, ImageShape(given["side"], given["channels"])


server = server_app(_prepare)
client = client_app(_work_of)
