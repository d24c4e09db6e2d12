"""Nodes of two real graphs: raw features, an untrained network, GRACE and neighbours as positives, compared.

    python benchmarks/graph.py                                  everything; results/graph.md and docs/graph.md
    python benchmarks/graph.py --data debian --seeds 0          a part

The graphs are those of `graph_data.py`, fetched into a cache. Each training is an ordinary `tellapart train graph` in
its own process (`graph_run.py`, by `trainings.py`). runs/graph keeps the trainings, and complete ones are not repeated.
GRACE and our default have the same network, views and steps, and each its best temperature on seed 0. On wordnet-15k,
which decided for wordnet, too, that was of 0.05, 0.1 and 0.3 in 4 epochs. On debian it was of 0.1, 0.3 and 0.5 in 4 and
then, since that was 0.3 for both, of 0.2 and 0.3 in 20. The 20 splits of the linear probe are the same for all. The
seed decides the first weights, the views and which edges are held out.
"""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph_data import graph_tables
from pages import publish
from trainings import as_words, results, row, spread, took, train_all

GRACE, OURS = "GRACE", "neighbours"
SYSTEMS = {
    GRACE: {"counterparts": "itself", "line_up": "both"},
    OURS: {"counterparts": "neighbours", "line_up": "other"},
}
EPOCHS = {"debian": 20, "wordnet-15k": 20, "wordnet": 6}
TEMPERATURES = {
    "debian": {GRACE: 0.3, OURS: 0.2},
    "wordnet-15k": {GRACE: 0.1, OURS: 0.1},
    "wordnet": {GRACE: 0.1, OURS: 0.1},
}


@dataclass(frozen=True)
class Trial:
    """One training: the graph, the system, the seed, and which of its embeddings are measured."""

    data: str
    system: str
    seed: int
    measured: str

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.data}-{self.system}-{self.seed}"

    def command(self, folder: Path) -> list[str]:
        """`graph_run.py`, and its arguments."""
        options = SYSTEMS[self.system] | {"seed": self.seed, "epochs": EPOCHS[self.data]}
        options["temperature"] = TEMPERATURES[self.data][self.system]
        words = [self.measured, "train", "graph", "--data", str(graph_tables(self.data))]
        words += ["--run", str(folder / self.name), "--resume"]
        return [str(Path(__file__).with_name("graph_run.py")), *words, *as_words(options)]


def trials(data: list[str], seeds: list[int]) -> list[Trial]:
    """All trainings; raw features are measured once per graph, untrained networks once per seed."""
    found = []
    for seed in seeds:  # seeds outermost, so that the first seed's table is ready early
        for name in data:
            found.append(Trial(name, OURS, seed, "all" if seed == seeds[0] else "networks"))
            found.append(Trial(name, GRACE, seed, "trained"))
    return found


def table(data: list[str], seeds: list[int], folder: Path) -> str:
    """The results of the runs, as Markdown."""
    lines = ["| | | linear probe | ± splits | link AUC | CPU minutes | peak, GiB |", "|---" * 7 + "|"]
    for name in data:
        runs = {system: [_read(folder, Trial(name, system, seed, "")) for seed in seeds] for system in (OURS, GRACE)}
        first = runs[OURS][0]["rows"]
        rows = {
            "chance": [first["chance"]],
            "raw features": [first["raw features"]],
            "untrained": [found["rows"]["untrained"] for found in runs[OURS]],
            GRACE: [found["rows"]["trained"] for found in runs[GRACE]],
            OURS: [found["rows"]["trained"] for found in runs[OURS]],
        }
        for i, (kind, found) in enumerate(rows.items()):
            probe, deviations, areas = zip(*found, strict=True)
            cells = [spread(probe), f"{statistics.mean(deviations):.3f}" if kind != "chance" else "", spread(areas)]
            costs = ("minutes", "peak") if kind in runs else ()
            cells += [spread((run[cost] for run in runs[kind]), ".1f") for cost in costs] or ["", ""]
            lines.append(row([name if i == 0 else "", kind, *cells]))
    titles = [f"{name}: {_read(folder, Trial(name, OURS, seeds[0], ''))['title']}" for name in data]
    lines += ["", "; ".join(titles) + ". " + " ".join(_said(name) for name in data)]
    lines[-1] += f" Seeds {', '.join(map(str, seeds))}, one core each."
    return "\n".join(lines) + "\n"


def _read(folder: Path, trial: Trial) -> dict[str, Any]:
    table = results(folder / trial.name)
    rows = {name: [value or 0.0 for value in values] for name, *values in table["rows"]}
    return {"title": table["title"], "rows": rows, **took(folder / trial.name)}


def _said(data: str) -> str:
    temperatures = " and ".join(f"{system} {value}" for system, value in TEMPERATURES[data].items())
    return f"On {data} {EPOCHS[data]} epochs, temperature of {temperatures}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/graph"))
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs at a time")
    given = parser.parse_args()
    for name in given.data:
        graph_tables(name)
    chosen = trials(given.data, given.seeds)
    train_all({given.runs / trial.name: trial.command(given.runs) for trial in chosen}, given.at_once)
    publish("graph", table(given.data, given.seeds, given.runs))


if __name__ == "__main__":
    main()
