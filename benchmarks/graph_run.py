"""One training of `graph.py`, in a process of its own, of which only what is asked for is measured.

    python benchmarks/graph_run.py MEASURED train graph --data … --run …

MEASURED is `all` (as `tellapart train` does), `networks` (not the raw features, which no seed changes) or `trained`.
What it took is kept in the run's folder: took.json, with the whole process' seconds of a core, whoever else was using
the machine, and its peak of memory in MiB.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from tellapart import cli
from tellapart.evaluation import Table, nodes
from tellapart.graphs import study

MEASURED = {
    "all": ("raw features", "untrained", "trained"),
    "networks": ("untrained", "trained"),
    "trained": ("trained",),
}


def measure_only(names: tuple[str, ...]) -> None:
    """Leave out of a run's table whatever is not named."""

    def some(models: dict[str, Any], asked: Any, title: str) -> Table:
        return nodes({name: models[name] for name in names}, asked, title)

    study.nodes = some


if __name__ == "__main__":
    measure_only(MEASURED[sys.argv[1]])
    words = sys.argv[2:]
    code = cli.main(words)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = {"seconds": time.process_time(), "peak": peak}
    if code == 0:
        (Path(words[words.index("--run") + 1]) / "took.json").write_text(json.dumps(took), encoding="utf-8")
    sys.exit(code)
