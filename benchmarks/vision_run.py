"""One training of `vision.py`, in its own process, with an optional change.

    python benchmarks/vision_run.py CHANGE train simclr --data … --run …

`nothing` is an unchanged `tellapart train`. All others measure only the trained network, by 15-NN and a linear probe.
`lean` changes nothing else. `formula` trains SimCLR by lightly's formula for the loss. `no-ids` lets symmetric MoCo
ignore ids, as with one memory bank that the first direction fills before the second is computed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formulas import blocks_without_diagonals
from tellapart._engine import Terms
from tellapart.cli import main as cli
from tellapart.domains.pictures import Dataset, Network
from tellapart.evaluation import Table, frozen
from tellapart.relations import same
from tellapart.systems import moco, simclr


class ByFormula:
    """The terms for the log, and the same loss by another formula."""

    def __init__(self, terms: Terms, loss: Tensor) -> None:
        self.terms, self.value = terms, loss

    def loss(self) -> Tensor:
        """The loss to minimise."""
        return self.value

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terms, name)


@dataclass(frozen=True)
class Projected:
    """A model that returns projections computed before."""

    projections: Tensor
    temperature: float

    def __call__(self, _: Tensor) -> Tensor:
        return self.projections


def train_by_formula() -> None:
    """Replace SimCLR's loss by the formula of lightly's NTXentLoss."""

    def terms(model: simclr.SimCLR, batch: Any) -> ByFormula:
        projections = model(batch.pictures)
        known = ours(Projected(projections.detach(), model.temperature), batch)  # type: ignore[arg-type]
        return ByFormula(known, blocks_without_diagonals(*projections.chunk(2), model.temperature))

    ours = simclr.terms

    simclr.terms = terms  # type: ignore[assignment]


def ignore_ids() -> None:
    """Keep the key of the same view, and old keys of the same picture, as negatives of second views."""

    def candidates(model: moco.MoCo, queries: moco.Queries) -> moco.Candidates:
        found = usual(model, queries)
        n = len(queries.ids) // 2
        rows, keys = torch.arange(2 * n), torch.arange(len(found.keys))
        first_views = same(rows.where(rows < n, -1), keys.where(keys < n, -2))
        return found._replace(exclude=first_views)

    usual = moco.candidates
    moco.candidates = candidates


def measure_the_trained_alone() -> None:
    """Reduce the evaluation to the trained network."""

    def measure(self: Dataset, _: Network, trained: Network) -> Table:
        known, test = self.training, self.test
        assert known.labels is not None
        assert test.labels is not None
        embedded = trained.embed(known.pictures), trained.embed(test.pictures)
        return frozen({"trained": embedded}, known.labels, test.labels, "")

    Dataset.measure = measure  # type: ignore[method-assign]


CHANGES: dict[str, tuple[Callable[[], None], ...]] = {
    "nothing": (),
    "lean": (measure_the_trained_alone,),
    "formula": (measure_the_trained_alone, train_by_formula),
    "no-ids": (measure_the_trained_alone, ignore_ids),
}


if __name__ == "__main__":
    for change in CHANGES[sys.argv[1]]:
        change()
    sys.exit(cli.main(sys.argv[2:]))
