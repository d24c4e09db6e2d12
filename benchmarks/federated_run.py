"""One training of `federated.py`, in its own process.

    python benchmarks/federated_run.py KIND train federated --data … --run …

`nothing` is an unchanged `tellapart train`. `lean` measures only the trained network, by 15-NN and a linear probe;
where pictures have no labels, ten views of each, by all networks.
`local` lets each client train by itself, from the same first weights and for as many steps as it would take in all
rounds, and writes the means of the clients' figures. `moon` is `lean`, with a contrast of models beside the loss.
"""

from __future__ import annotations

import copy
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from tellapart import info_nce, paired
from tellapart.cli import main as cli
from tellapart.domains.pictures import Dataset, make_views
from tellapart.evaluation import Table, frozen
from tellapart.federation import Bank, Loss, Work
from tellapart.runs import Run
from tellapart.systems import federated
from tellapart.systems.options import read_options
from tellapart.training import as_plain_options

_measure = Dataset.measure
VIEWS = 10  # of each picture, where there are no labels
MU, TAU = 1.0, 0.5  # weight and temperature of the contrast of models; Li et al. have μ of .1 to 10, and this τ


def measure_often(self: Dataset, before: Any, after: Any) -> Table:
    """The table of each of ten random views of the held-out pictures, and the means of these tables."""
    options = [replace(self.options, seed=seed) for seed in range(VIEWS)]
    tables = [_measure(replace(self, options=one), before, after) for one in options]
    rows: list[list[str | float]] = []
    for same in zip(*(table.rows for table in tables), strict=True):
        names, *columns = zip(*same, strict=True)
        rows.append([names[0], *(statistics.mean(map(float, column)) for column in columns)])
    return replace(tables[0], rows=rows)


def measure_trained(self: Dataset, before: Any, after: Any) -> Table:
    """Chance and the trained network, and no groups of k-means; without labels, as `measure_often`."""
    if self.training.labels is None or self.test.labels is None:
        return measure_often(self, before, after)
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


class Contrasting(Work):
    """A client whose views are also to be near the averaged network's, and far from its own last network's.

    Departs from MOON (Li, He & Song 2021, https://arxiv.org/abs/2103.16257, eq. 3): it stands beside NT-Xent and not a
    classifier's loss; all batch norms take the statistics of the batch; the first round has no last network, and no
    contrast.
    """

    def train(self, weights: dict[str, Tensor], bank: Bank | None, number: int) -> dict[str, float]:
        """As `Work`; then the network is kept for the next round."""
        self._set(weights)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False).train()
        found = super().train(weights, bank, number)
        self.last = copy.deepcopy(self.network).requires_grad_(False).train()
        return found


def contrast(z: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """InfoNCE of two candidates: near, the positive, and far; −log e^{z·near/τ} / (e^{z·near/τ} + e^{z·far/τ})."""
    return info_nce(z, near, positives=paired(), exclude=~paired(), negatives=far[:, None], temperature=TAU)


def contrasting(work_for: Callable[..., Work]) -> Callable[..., Work]:
    """`work_for`, with the contrast in the loss."""

    def made(config: federated.Config, shape: Any, own: Any, network: nn.Module, client: int) -> Work:
        work, views = Contrasting(**vars(work_for(config, shape, own, network, client))), make_views(config, shape)

        def loss(network: nn.Module, shown: Tensor, bank: Bank | None, client: int) -> Loss:
            both = torch.cat(views(shown, 2))
            z = network(both)
            value = federated.compare(z.chunk(2), bank, client, config.temperature, config.bank_weight)
            if hasattr(work, "last"):
                value = value + MU * contrast(z, work.averaged(both), work.last(both))
            return Loss(value, 2 * len(shown) - 1)

        work.loss = loss
        return work

    return made


if __name__ == "__main__":
    kind, *words = sys.argv[1:]
    if kind == "local":
        train_alone([word for word in words[2:] if word != "--resume"])
        sys.exit()
    if kind == "moon":  # a checkpoint lacks the clients' last networks: it begins anew
        Run(Path(words[words.index("--run") + 1])).checkpoint.unlink(missing_ok=True)
        federated.work_for = contrasting(federated.work_for)
    if kind in ("lean", "moon"):
        Dataset.measure = measure_trained  # type: ignore[method-assign]
    sys.exit(cli(words))
