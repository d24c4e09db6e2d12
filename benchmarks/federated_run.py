"""One training of `federated.py`, in its own process.

    python benchmarks/federated_run.py KIND train federated --data … --run …

`nothing` is an unchanged `tellapart train`. `lean` measures only the trained network, by 15-NN and a linear probe.
`local` lets each client train by itself, from the same first weights and for as many steps as it would take in all
rounds, and writes the means of the clients' figures.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from tellapart.cli import main as cli
from tellapart.domains.pictures import Dataset
from tellapart.evaluation import Table, frozen
from tellapart.runs import Run
from tellapart.systems import federated
from tellapart.systems.options import read_options
from tellapart.training import as_plain_options


def measure_trained(self: Dataset, _: Any, after: Any) -> Table:
    """Chance and the trained network, and no groups of k-means."""
    assert self.training.labels is not None
    assert self.test.labels is not None
    models = {"trained": (after.embed(self.training.pictures), after.embed(self.test.pictures))}
    table = frozen(models, self.training.labels, self.test.labels, "Labels told from features")
    return replace(table, notes=[note for note in table.notes if note.startswith("trained")])


def train_alone(words: list[str]) -> None:
    """Each client by itself."""
    given = {
        name.removeprefix("--"): yaml.safe_load(value) for name, value in zip(words[::2], words[1::2], strict=True)
    }
    run = Run(Path(given.pop("run")))
    trainer = {"precision": given.pop("trainer.precision")}
    given = {name: value for name, value in given.items() if not name.startswith("trainer.")}
    config, how = read_options("federated", {**given, "trainer": trainer})
    assert isinstance(config, federated.Config)
    alone = replace(config, local_epochs=config.epochs, bank=0, statistics="averaged")  # one round
    run.folder.mkdir(parents=True, exist_ok=True)
    run.begin("federated", as_plain_options(alone, how))
    data = federated.load(alone, run)
    model = federated.make_model(alone, data.data.shape)
    begun, found = model.weights(with_statistics=True), []
    for client in range(alone.clients):
        network = model.a_copy()
        work = federated.work_for(alone, data.data.shape, data.client(client), network, client)
        with torch.autocast("cpu", torch.bfloat16, enabled=trainer["precision"] == "bf16-mixed"):
            said = work.train(begun, None, 1)
        table = measure_trained(data.data, network.eval(), network.eval())
        found.append(table.rows[-1][1:])
        print(client, work.n, said, found[-1], flush=True)
    means: list[str | float] = [statistics.mean(map(float, column)) for column in zip(*found, strict=True)]
    rows = [[*table.rows[0], "–"], ["trained", *means, "–"]]
    run.save_results(replace(table, header=[*table.header, "–"], rows=rows, formats=[*table.formats, ".3f"]).as_dict())


if __name__ == "__main__":
    kind, *words = sys.argv[1:]
    if kind == "local":
        train_alone([word for word in words[2:] if word != "--resume"])
        sys.exit()
    if kind == "lean":
        Dataset.measure = measure_trained  # type: ignore[method-assign]
    sys.exit(cli(words))
