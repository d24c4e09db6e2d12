"""Pictures with ten clients: whether averaging helps each of them, and whether a shared bank of keys helps more.

    python benchmarks/federated.py                   everything; results/federated.md, and the page's table
    python benchmarks/federated.py --seeds 0 --pictures 6000 --epochs 12    sooner; results/federated_few.md
    python benchmarks/federated.py --data openmoji   no two pictures of a class; results/federated_openmoji.md

The pictures are fetched from Debian's package dataset-fashion-mnist (MIT) into a cache; their labels divide them among
the clients by Dirichlet(0.5), and serve evaluation. `local`: each client trains alone; figures are means over the
clients. `fedavg`: weights are averaged each round, and there is no bank. `bank`: keys are shared each round; `stale`:
every third; `weighted`: each round, and each key counts a quarter. `recalibrated`: `fedavg` with statistics of batch
norms that are computed anew, and `calibrated`: `bank` with them. Three ways differ from `calibrated` in one thing.
`alike`: no view is compared with keys of a cosine of 0.5 or more. `momentum`: keys are made by a moving average of
rounds. `prototypes`: clients share an eighth as many means of groups of keys, each of weight 8. `moon`: `fedavg`, and
each view is also to be nearer to the averaged network's of the same view than to that of the client's own network of
the last round; it begins anew if it was stopped. `centralised`: simclr on all pictures. All have the same network, and
all pictures are seen equally often. The length of the mean key is that of the last bank: 1 if all keys are equal. With
`--pictures` there are so many for training, drawn at random, and all of the test set.

With `--data openmoji` (CC BY-SA 4.0; the `openmoji` extra) the 1,707 pictures show as many things, so that no key of
another client is of the same class as a view; they are divided evenly, at random. Measured is how often a random view
of a held-out picture finds it among all held-out ones, over ten views of each.

Each training is an ordinary `tellapart train` on one core (`federated_run.py`). runs/federated keeps them, and complete
ones are not repeated.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fetch
from pages import publish
from tellapart.domains.pictures import load_splits
from trainings import as_words, results, row, spread, took, train_all

OPTIONS: dict[str, Any] = {
    "batch_size": 256,
    "width": 16,
    "crop": 0.15,
    "jitter": 1.0,
    "temperature": 0.1,
    "learning_rate": 2e-3,
    "trainer.precision": "bf16-mixed",
    "trainer.checkpoint_every": 1,
}
CENTRALISED = {"trainer.checkpoint_every": 200}
CLIENTS = {"clients": 10, "split": "dirichlet", "alpha": 0.5, "bank": 0}
BANK = {"bank": 4096}
CALIBRATED = {"statistics": "recalibrated"}
_MIB = 2**20


@dataclass(frozen=True)
class Data:
    """Pictures, and what differs with them: figures, and options of a training and of its clients."""

    columns: tuple[str, str]
    epochs: int
    are_labelled: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    clients: dict[str, Any] = field(default_factory=dict)


DATA = {
    "fashion-mnist": Data(("15-NN", "linear probe"), epochs=6),
    "openmoji": Data(
        ("R@1", "R@5"),
        epochs=60,
        are_labelled=False,
        options={"batch_size": 64},
        clients={"split": "even", "local_epochs": 3},
    ),
}


@dataclass(frozen=True)
class Way:
    """One kind of training: a line of the table."""

    name: str
    system: str = "federated"
    kind: str = "lean"
    options: dict[str, Any] = field(default_factory=dict)

    def folder(self, runs: Path, key: str, seed: int) -> Path:
        """Where its run of a seed is kept."""
        return runs / f"{key}-{seed}"

    def command(self, data: Data, source: str, folder: Path, seed: int, epochs: int, is_first: bool) -> list[str]:
        """`federated_run.py`, and its arguments; the first centralised run also measures what needs no training."""
        kind = "nothing" if is_first and self.system == "simclr" and data.are_labelled else self.kind
        own = CLIENTS | data.clients if self.system == "federated" else CENTRALISED
        options = OPTIONS | data.options | own | {"epochs": epochs, "seed": seed} | self.options
        words = [kind, "train", self.system, "--data", source, "--run", str(folder)]
        return [str(Path(__file__).with_name("federated_run.py")), *words, "--resume", *as_words(options)]


WAYS = {
    "centralised": Way("centralised (simclr)", "simclr"),
    "local": Way("each client alone", kind="local"),
    "fedavg": Way("FedAvg, no bank"),
    "recalibrated": Way("FedAvg, no bank, statistics recalibrated", options=CALIBRATED),
    "moon": Way("FedAvg, no bank, models contrasted (MOON)", kind="moon"),
    "bank": Way("FedAvg, bank", options=BANK),
    "stale": Way("FedAvg, bank, every third round", options=BANK | {"bank_every": 3}),
    "weighted": Way("FedAvg, bank of weight 1/4", options=BANK | {"bank_weight": 0.25}),
    "calibrated": Way("FedAvg, bank, statistics recalibrated", options=BANK | CALIBRATED),
    "alike": Way("the same, without alike keys", options=BANK | CALIBRATED | {"bank_alike": 0.5}),
    "momentum": Way("the same, keys by a moving average", options=BANK | CALIBRATED | {"key_momentum": 0.5}),
    "prototypes": Way(
        "the same, 512 prototypes", options=CALIBRATED | {"bank": 512, "bank_of": "prototypes", "bank_weight": 8.0}
    ),
}


def pictures(runs: Path, n: int) -> Path:
    """Fashion-MNIST, or a file with `n` of its pictures for training."""
    whole = fetch.fetch("fashion-mnist")
    few = runs / f"fashion-{n}.npz"
    if n and not few.is_file():
        training, test = load_splits(str(whole))
        assert test is not None
        rows = torch.from_numpy(np.random.default_rng(0).permutation(len(training))[:n])
        parts = {"train": training.rows(rows), "test": test}
        arrays = {f"x_{name}": part.pictures.permute(0, 2, 3, 1).numpy() for name, part in parts.items()}
        labels = {f"y_{name}": part.labels.numpy() for name, part in parts.items() if part.labels is not None}
        runs.mkdir(parents=True, exist_ok=True)
        np.savez(few, **arrays, **labels)
    return few if n else whole


def logged(folder: Path, name: str) -> list[float]:
    """An entry of the log, in the rounds that have it."""
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines() if (folder / "log.jsonl").is_file() else []
    return [entry[name] for line in lines if name in (entry := json.loads(line))]


def sent(folder: Path, name: str) -> str:
    """The most that left a client in a round, in MiB, as the log has it."""
    found = logged(folder, name)
    return f"{max(found) / _MIB:.3f}" if found else "–"


def table(data: Data, ways: list[str], runs: Path, seeds: list[int], epochs: int) -> str:
    """The figures of each way, over seeds."""
    header = ["", *data.columns, "membership AUC", "mean key", "MiB of weights", "MiB of keys", "minutes"]
    lines = [row(header), row(["---"] * len(header))]
    if "centralised" in ways:
        for figures in results(WAYS["centralised"].folder(runs, "centralised", seeds[0]))["rows"][:-1]:
            lines.append(row([figures[0], *(f"{figure:.3f}" for figure in figures[1:3]), *["–"] * 5]))
    for key in ways:
        way = WAYS[key]
        folders = [way.folder(runs, key, seed) for seed in seeds]
        found = [results(folder)["rows"][-1][1:] for folder in folders]
        figures = [spread(column) for column in zip(*(figures[:2] for figures in found), strict=True)]
        told = [figures[-1] for figures in found] if way.system == "federated" else ["–"]
        attack = "–" if "–" in told else spread(told)
        lengths = [length for folder in folders for length in logged(folder, "length_of_mean_key")[-1:]]
        mean_key = spread(lengths) if lengths else "–"
        mib = [sent(folders[0], name) for name in ("bytes_of_weights", "bytes_of_keys")]
        minutes = spread((took(folder)["minutes"] for folder in folders), ".1f")
        lines.append(row([way.name, *figures, attack, mean_key, *mib, minutes]))
    what = (
        "Mean key: its length in the last bank. MiB: what leaves a client in a round, at most. "
        "Minutes of processor time, evaluation included."
    )
    options = OPTIONS | data.options | data.clients
    shown = ", ".join(f"{name} {value}" for name, value in options.items() if name != "trainer.checkpoint_every")
    return "\n".join([*lines, "", f"Seeds {', '.join(map(str, seeds))}; epochs {epochs}, {shown}. {what}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(WAYS), nargs="+", default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", choices=list(DATA), default="fashion-mnist")
    parser.add_argument("--epochs", type=int, help="how often each picture is seen; 6, and 60 of openmoji")
    parser.add_argument("--pictures", type=int, default=0, help="of fashion-mnist to train on; 0 for all 60,000")
    parser.add_argument("--runs", type=Path, default=Path("runs/federated"), help="where trainings are kept")
    given = parser.parse_args()
    data, is_fashion = DATA[given.data], given.data == "fashion-mnist"
    if given.pictures and not is_fashion:
        parser.error(f"--pictures: only of fashion-mnist. Got {given.pictures} with --data {given.data}.")
    runs = given.runs / str(given.pictures or ("all" if is_fashion else given.data))
    source = str(pictures(given.runs, given.pictures)) if is_fashion else given.data
    epochs, commands = given.epochs or data.epochs, {}
    for seed in given.seeds:
        for key in given.only:
            folder = WAYS[key].folder(runs, key, seed)
            commands[folder] = WAYS[key].command(data, source, folder, seed, epochs, seed == given.seeds[0])
    train_all(commands, at_once=1)
    mark = "federated_few" if given.pictures else "federated" if is_fashion else f"federated_{given.data}"
    publish(mark, table(data, given.only, runs, given.seeds, epochs))
