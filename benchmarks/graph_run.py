"""One training of `graph.py`, in a process of its own, of which only what is asked for is measured.

    python benchmarks/graph_run.py MEASURED train graph --data … --run …

MEASURED is `all` (as `tellapart train` does), `networks` (not the raw features, which no seed changes) or `trained`.

    python benchmarks/graph_run.py again RUN

measures the raw features of a complete run again, which needs no network, and puts them into its results.json.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from tellapart import cli
from tellapart.evaluation import Table, nodes
from tellapart.graphs import study
from tellapart.run import Run
from tellapart.systems.graph import Config

RAW = "raw features"
MEASURED = {
    "all": (RAW, "untrained", "trained"),
    "networks": ("untrained", "trained"),
    "trained": ("trained",),
}


def measure_only(names: tuple[str, ...]) -> None:
    """Leave out of a run's table whatever is not named."""

    def some(models: dict[str, Any], asked: Any, title: str) -> Table:
        return nodes({name: models[name] for name in names}, asked, title)

    study.nodes = some


def measure_again(run: Run) -> None:
    """Replace the row of the raw features by what is measured now, and what the notes say of it."""
    own = study.Study.of_run(Config(**{name: value for name, value in run.options().items() if name != "trainer"}), run)
    old, features = run.results(), own.whole.features
    new = nodes({RAW: (features, features)}, own.questions(), old["title"])
    row = new.as_dict()["rows"][-1]
    rows = [row if name == RAW else [name, *values] for name, *values in old["rows"]]
    strength = re.compile(f"{RAW} [0-9.e+-]*[0-9]")
    (chosen,) = strength.findall(new.notes[0])
    kept = [note for note in old["notes"] if note not in new.notes]
    run.save_results(old | {"rows": rows, "notes": [strength.sub(chosen, kept[0]), *new.notes[1:], *kept[1:]]})
    print(row, chosen)


if __name__ == "__main__":
    if sys.argv[1] == "again":
        measure_again(Run.open(Path(sys.argv[2])))
    else:
        measure_only(MEASURED[sys.argv[1]])
        sys.exit(cli.main(sys.argv[2:]))
