"""One training of `harmony.py`, in its own process: a `tellapart train` that measures the trained network alone.

    python benchmarks/harmony_run.py train harmony --data … --run …

The gallery has the held-out pictures only, and there is no report.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch

from tellapart import api
from tellapart.cli import main as cli
from tellapart.domains.pictures import FewLabels
from tellapart.evaluation import Table
from tellapart.runs import Gallery


@torch.no_grad()
def measure(self: FewLabels, _: object, trained: object) -> Table:
    """A row for the trained network."""
    rows: list[list[str | float]] = [["trained", *self._measure(trained)]]  # type: ignore[arg-type]
    header = ["", "accuracy", "linear probe", "cross-entropy", "NT-Xent"]
    return Table("", header, rows, ["", *(".3f" for _ in header[1:])], [])


def gallery(self: FewLabels, after: object) -> Gallery:
    """The held-out pictures, in the place of the others, too."""
    two = torch.arange(2)
    return replace(self.data, training=self.data.test.rows(two)).gallery(after)  # type: ignore[arg-type]


if __name__ == "__main__":
    FewLabels.measure, FewLabels.gallery = measure, gallery  # type: ignore[method-assign, assignment]
    api.trained.write_report = lambda run, *_, **__: run.report
    sys.exit(cli(sys.argv[1:]))
