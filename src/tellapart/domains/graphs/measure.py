"""Evaluation of embeddings of nodes: whether they predict labels and held-out edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tellapart.domains.graphs.links import link_auc
from tellapart.evaluation import Splits, Table, probe_over_splits

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

_LEAST = 10
"""The least number of labelled nodes for a probe: with fewer, a tenth is less than one node."""


class Questions(NamedTuple):
    """The targets of an evaluation: labelled nodes, and linked and unlinked pairs of nodes."""

    labelled: Int[Tensor, " k"]
    """The nodes with labels to predict."""
    labels: Int[Tensor, " k"]
    linked: Int[Tensor, "2 p"]
    unlinked: Int[Tensor, "2 q"]

    def has_labels(self) -> bool:
        """Whether there are enough labelled nodes, with at least two labels."""
        return len(self.labels) >= _LEAST and len(self.labels.unique()) > 1

    def has_links(self) -> bool:
        """Whether there are pairs of both kinds."""
        return bool(self.linked.shape[1]) and bool(self.unlinked.shape[1])


def nodes(
    models: dict[str, tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]], targets: Questions, title: str
) -> Table:
    """A table of linear probes over 20 random splits, and of link prediction: chance, then each model.

    Without labels, or without pairs, there is no column for them.

    Args:
        models: for each model's name, the embeddings for labels, and those for links, made without the linked pairs'
            edges. Dense, or sparse with coordinates (COO).
        targets: the labels and the links.
        title: the table's title.

    >>> import torch
    >>> x = torch.eye(2).repeat_interleave(50, dim=0)
    >>> pairs = torch.tensor([[0], [1]]), torch.tensor([[0], [99]])
    >>> targets = Questions(torch.arange(100), torch.arange(100) // 50, *pairs)
    >>> nodes({"good": (x, x)}, targets, "").cells()
    [['chance', '0.500', '', '0.500'], ['good', '1.000', '0.000', '1.000']]
    """
    rows: list[list[str | float]] = [[name] for name in ("chance", *models)]
    header, notes = [""], list[str]()
    if targets.has_labels():
        labelled = (for_labels.index_select(0, targets.labelled) for for_labels, _ in models.values())
        found = [probe_over_splits(embeddings, targets.labels) for embeddings in labelled]
        guess = targets.labels.unique(return_counts=True)[1].max().item() / len(targets.labels)
        rows[0] += [guess, ""]
        for row, splits in zip(rows[1:], found, strict=True):
            row += [splits.mean(), splits.deviation()]
        header += ["linear probe", "±"]
        notes += _on_the_probe(len(targets.labels), dict(zip(models, found, strict=True)))
    if targets.has_links():
        areas = [link_auc(for_links, targets.linked, targets.unlinked) for _, for_links in models.values()]
        for row, area in zip(rows, [0.5, *areas], strict=True):
            row.append(area)
        header.append("link AUC")
        n_linked, n_unlinked = targets.linked.shape[1], targets.unlinked.shape[1]
        notes.append(
            f"Link AUC: how often the cosine of two nodes joined by one of {n_linked} held-out edges is larger "
            f"than that of two nodes without an edge; {n_unlinked} such pairs, drawn at random."
        )
    return Table(title, header, rows, ["", *(".3f" for _ in header[1:])], notes)


def _on_the_probe(n: int, found: dict[str, Splits]) -> list[str]:
    n_splits = len(next(iter(found.values())).accuracies)
    strengths = ", ".join(f"{name} {splits.regularisation:g}" for name, splits in found.items())
    return [
        f"Linear probe: accuracy of a linear classifier, mean and standard deviation over {n_splits} random splits. "
        f"In each it knows a tenth of the {n} labels and is tested on eight tenths. "
        f"The remaining tenths of the first 3 splits chose its C: {strengths}.",
        "Dense embeddings are standardised for it; sparse features are not.",
        "Chance: always the most frequent label.",
    ]
