"""One training of `graph.py`, in its own process, with a choice of embeddings to measure.

    python benchmarks/graph_run.py MEASURED train graph --data … --run …

MEASURED is `all` (as `tellapart train` does), `networks` (not the raw features, which no seed changes) or `trained`.
"""

from __future__ import annotations

import sys
from typing import Any

from tellapart.cli import main as cli
from tellapart.domains.graphs import dataset, nodes
from tellapart.evaluation import Table

MEASURED = {
    "all": ("raw features", "untrained", "trained"),
    "networks": ("untrained", "trained"),
    "trained": ("trained",),
}


def measure_only(names: tuple[str, ...]) -> None:
    """Reduce a run's table to these names."""

    def some(models: dict[str, Any], targets: Any, title: str) -> Table:
        return nodes({name: models[name] for name in names}, targets, title)

    dataset.nodes = some


if __name__ == "__main__":
    measure_only(MEASURED[sys.argv[1]])
    sys.exit(cli.main(sys.argv[2:]))
