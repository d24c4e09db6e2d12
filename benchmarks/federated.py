"""Fashion-MNIST with ten clients: whether averaging helps each of them, and whether a shared bank of keys helps more.

    python benchmarks/federated.py                   everything; results/federated.md, and the page's table
    python benchmarks/federated.py --seeds 0 --only fedavg bank

The pictures are fetched from Debian's package dataset-fashion-mnist (MIT) into a cache; their labels divide them among
the clients by Dirichlet(0.5), and serve evaluation. `local`: each client trains alone; figures are means over the
clients. `fedavg`: weights are averaged each round, and there is no bank. `bank`: keys are shared each round; `stale`:
every third; `weighted`: each round, and each key counts a quarter. `recalibrated`: `fedavg` with statistics of batch
norms that are computed anew. `centralised`: simclr on all pictures. All have the same network, and all pictures are
seen equally often. Each training is an ordinary `tellapart train` on one core (`federated_run.py`). runs/federated
keeps them, and complete ones are not repeated.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fetch
from pages import publish
from trainings import as_words, results, row, spread, took, train_all

OPTIONS = {
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
_MIB = 2**20


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

    def command(self, folder: Path, seed: int, epochs: int, is_first: bool) -> list[str]:
        """`federated_run.py`, and its arguments; the first centralised run also measures what needs no training."""
        kind = "nothing" if is_first and self.system == "simclr" else self.kind
        own = CLIENTS if self.system == "federated" else CENTRALISED
        options = OPTIONS | own | {"epochs": epochs, "seed": seed} | self.options
        words = [kind, "train", self.system, "--data", str(fetch.fetch("fashion-mnist")), "--run", str(folder)]
        return [str(Path(__file__).with_name("federated_run.py")), *words, "--resume", *as_words(options)]


WAYS = {
    "centralised": Way("centralised (simclr)", "simclr"),
    "local": Way("each client alone", kind="local"),
    "fedavg": Way("FedAvg, no bank"),
    "recalibrated": Way("FedAvg, no bank, statistics recalibrated", options={"statistics": "recalibrated"}),
    "bank": Way("FedAvg, bank", options=BANK),
    "stale": Way("FedAvg, bank, every third round", options=BANK | {"bank_every": 3}),
    "weighted": Way("FedAvg, bank of weight 1/4", options=BANK | {"bank_weight": 0.25}),
}


def sent(folder: Path, name: str) -> str:
    """The most that left a client in a round, in MiB, as the log has it."""
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines() if (folder / "log.jsonl").is_file() else []
    found = [json.loads(line).get(name, 0) for line in lines]
    return f"{max(found) / _MIB:.2f}" if any(found) else "–"


def table(ways: list[str], runs: Path, seeds: list[int], epochs: int) -> str:
    """The figures of each way, over seeds."""
    header = ["", "15-NN", "linear probe", "membership AUC", "MiB of weights", "MiB of keys", "minutes"]
    lines = [row(header), row(["---"] * len(header))]
    if "centralised" in ways:
        for figures in results(WAYS["centralised"].folder(runs, "centralised", seeds[0]))["rows"][:-1]:
            lines.append(row([figures[0], *(f"{figure:.3f}" for figure in figures[1:3]), "–", "–", "–", "–"]))
    for key in ways:
        way = WAYS[key]
        folders = [way.folder(runs, key, seed) for seed in seeds]
        found = [results(folder)["rows"][-1][1:] for folder in folders]
        figures = [spread(column) for column in zip(*(figures[:2] for figures in found), strict=True)]
        told = [figures[-1] for figures in found] if way.system == "federated" else ["–"]
        attack = "–" if "–" in told else spread(told)
        mib = [sent(folders[0], name) for name in ("bytes_of_weights", "bytes_of_keys")]
        lines.append(row([way.name, *figures, attack, *mib, spread((took(f)["minutes"] for f in folders), ".1f")]))
    what = "MiB: what leaves a client in a round, at most. Minutes of processor time, evaluation included."
    shown = ", ".join(f"{name} {value}" for name, value in OPTIONS.items() if name != "trainer.checkpoint_every")
    return "\n".join([*lines, "", f"Seeds {', '.join(map(str, seeds))}; epochs {epochs}, {shown}. {what}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(WAYS), nargs="+", default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6, help="how often each picture is seen; a round each")
    parser.add_argument("--runs", type=Path, default=Path("runs/federated"), help="where trainings are kept")
    parser.add_argument("--dry", action="store_true", help="print the table, and write it nowhere")
    given = parser.parse_args()
    commands = {}
    for seed in given.seeds:
        for key in given.only:
            folder = WAYS[key].folder(given.runs, key, seed)
            commands[folder] = WAYS[key].command(folder, seed, given.epochs, seed == given.seeds[0])
    train_all(commands, at_once=1)
    made = table(given.only, given.runs, given.seeds, given.epochs)
    if given.dry:
        print(made)
    else:
        publish("federated", made)
