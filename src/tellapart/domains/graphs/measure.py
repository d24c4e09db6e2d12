"""A graph's nodes: what their embeddings tell of labels and of edges that were held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tellapart.domains.graphs.links import link_auc
from tellapart.evaluation import Splits, Table, probe_over_splits

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

_LEAST = 10
"""Labelled nodes below which a probe would be fitted to a single one."""


class Questions(NamedTuple):
    """What is asked of a graph's embeddings: the labels that some nodes have, and which pairs an edge joins."""

    labelled: Int[Tensor, " k"]
    """The nodes whose labels are asked for."""
    labels: Int[Tensor, " k"]
    linked: Int[Tensor, "2 p"]
    unlinked: Int[Tensor, "2 q"]

    def has_labels(self) -> bool:
        """Whether there are enough labels to be told apart."""
        return len(self.labels) >= _LEAST and len(self.labels.unique()) > 1

    def has_links(self) -> bool:
        """Whether there are pairs of both kinds."""
        return bool(self.linked.shape[1]) and bool(self.unlinked.shape[1])


def nodes(models: dict[str, tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]], asked: Questions, title: str) -> Table:
    """A table of linear probes over 20 random splits, and of link prediction: guessing, then each model's embeddings.

    What cannot be asked, for want of labels or of pairs, has no column.

    Args:
        models: for each model's name, the embeddings that labels are told from, and those made without the linked
            pairs' edges, that links are told from. Dense, or sparse with coordinates (COO).
        asked: the labels and the links.
        title: the table's title.

    >>> import torch
    >>> x = torch.eye(2).repeat_interleave(50, dim=0)
    >>> pairs = torch.tensor([[0], [1]]), torch.tensor([[0], [99]])
    >>> asked = Questions(torch.arange(100), torch.arange(100) // 50, *pairs)
    >>> nodes({"good": (x, x)}, asked, "").cells()
    [['chance', '0.500', '', '0.500'], ['good', '1.000', '0.000', '1.000']]
    """
    rows: list[list[str | float]] = [[name] for name in ("chance", *models)]
    header, notes = [""], list[str]()
    if asked.has_labels():
        known = (own.index_select(0, asked.labelled) for own, _ in models.values())
        found = [probe_over_splits(embeddings, asked.labels) for embeddings in known]
        guess = asked.labels.unique(return_counts=True)[1].max().item() / len(asked.labels)
        rows[0] += [guess, ""]
        for row, splits in zip(rows[1:], found, strict=True):
            row += [splits.mean(), splits.deviation()]
        header += ["linear probe", "±"]
        notes += _on_the_probe(len(asked.labels), dict(zip(models, found, strict=True)))
    if asked.has_links():
        areas = [link_auc(own, asked.linked, asked.unlinked) for _, own in models.values()]
        for row, area in zip(rows, [0.5, *areas], strict=True):
            row.append(area)
        header.append("link AUC")
        held_out, others = asked.linked.shape[1], asked.unlinked.shape[1]
        notes.append(
            f"Link AUC: how often the cosine of two nodes that one of {held_out} held-out edges joins is larger "
            f"than that of two that none does; {others} such pairs, drawn at random."
        )
    return Table(title, header, rows, ["", *(".3f" for _ in header[1:])], notes)


def _on_the_probe(n: int, found: dict[str, Splits]) -> list[str]:
    n_splits = len(next(iter(found.values())).accuracies)
    strengths = ", ".join(f"{name} {splits.regularisation:g}" for name, splits in found.items())
    return [
        f"Linear probe: the share of labels told rightly, mean and standard deviation over {n_splits} random splits. "
        f"In each a linear classifier knows a tenth of the {n} labels and is asked for eight tenths. "
        f"The remaining tenth, of the first 3, chose its C: {strengths}.",
        "Dense embeddings are standardised for it; sparse features are taken as they are.",
        "Chance: always the most frequent label.",
    ]
