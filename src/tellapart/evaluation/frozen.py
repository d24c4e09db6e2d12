"""Frozen embeddings: how well they predict labels that training did not see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tellapart.errors import check_embeddings, requirement
from tellapart.evaluation.bounds import STARTS, k_means_starts, probe_steps
from tellapart.evaluation.clusters import Clustering, clustering
from tellapart.evaluation.labels import integer_labels
from tellapart.evaluation.neighbours import nearest_neighbours
from tellapart.evaluation.probe import Probe, linear_probe
from tellapart.evaluation.table import Table

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.evaluation.labels import Labels

    Models = Mapping[str, tuple[Float[Tensor, "m d"], Float[Tensor, "n d"]]]

_K = 15


def frozen(models: Models, train_labels: Labels, test_labels: Labels, title: str) -> Table:
    """A table of measures of frozen embeddings: chance, then each model.

    Two columns are accuracies on the test set, of 15 nearest neighbours and of a linear probe. Both learn from the
    training set's labels; a training set of fewer than 15 votes whole. NMI and ARI are those of k-means on the test
    set alone. Notes below the table explain the columns, and point out doubtful figures. To bound the time, a large
    probe takes fewer steps than 1,000, and k-means of many classes fewer starts than 10 (`evaluation.bounds`).

    Args:
        models: for each model's name, the embeddings `(m, d)` of the training and `(n, d)` of the test set. They are
            asked for once each, and only one model's are needed at a time.
        train_labels: the training set's labels, any integers, one per embedding.
        test_labels: the test set's labels, likewise.
        title: the table's title.

    Raises:
        TypeError: embeddings that are not floating-point, labels that are not integers.
        ValueError: no model; embeddings that are empty, not finite or of different widths; not one label per
            embedding; labels that are all the same.

    >>> import torch
    >>> good = torch.eye(2).repeat(4, 1)
    >>> frozen({"good": (good, good)}, [0, 1] * 4, [0, 1] * 4, "").cells()
    [['chance', '0.500', '0.500', '0.000', '0.000'], ['good', '1.000', '1.000', '1.000', '1.000']]
    """
    known = integer_labels("train_labels", train_labels, len(train_labels), n_classes=2)
    truth = integer_labels("test_labels", test_labels, len(test_labels), n_classes=2)
    if not models:
        raise ValueError(requirement("models", "name at least one model", "none"))
    k = min(_K, len(known))
    guess = _accuracy(_most_frequent(known), truth)
    rows: list[list[str | float]] = [["chance", guess, guess, 0.0, 0.0]]
    notes = _explained(k)
    for name, (train, test) in models.items():
        _check(name, (train, test), len(known), len(truth))
        near = nearest_neighbours(train, known, test, k=k)
        n_classes, width = len(known.unique()), train.shape[1]
        probe = linear_probe(train, known, test, max_steps=probe_steps(len(train), width, n_classes))
        starts = k_means_starts(len(test), width, len(truth.unique()))
        groups = clustering(test, truth, starts=starts)
        rows.append([name, _accuracy(near, truth), _accuracy(probe.labels, truth), groups.nmi, groups.ari])
        notes += _doubts(name, probe, groups, len(truth.unique()), starts)
        del train, test  # or the next model's would be made while they are kept
    header = ["", f"{k}-NN", "linear probe", "NMI", "ARI"]
    return Table(title, header, rows, ["", *(".3f" for _ in header[1:])], notes)


def _check(name: str, pair: tuple[Tensor, Tensor], n_train: int, n_test: int) -> None:
    parameter = f"models[{name!r}]"
    for part, vectors, n in zip(("training", "test"), pair, (n_train, n_test), strict=True):
        check_embeddings(parameter, vectors)
        if len(vectors) != n:
            raise ValueError(requirement(parameter, f"have one {part} embedding per label, {n}", len(vectors)))


def _most_frequent(labels: Int[Tensor, " m"]) -> Int[Tensor, ""]:
    """The most frequent label; of several, the smallest."""
    classes, counts = labels.unique(return_counts=True)
    most: Tensor = classes[counts.argmax()]
    return most


def _accuracy(predicted: Int[Tensor, " n"] | Int[Tensor, ""], truth: Int[Tensor, " n"]) -> float:
    return (predicted.to(truth.device) == truth).double().mean().item()


def _explained(k: int) -> list[str]:
    return [
        f"{k}-NN: accuracy on the test set of a vote of the {k} most similar training items; a more similar item "
        "has a larger weight.",
        "Linear probe: accuracy on the test set of a linear classifier, which learns from the training set's "
        "embeddings and labels. The embeddings stay as they are.",
        "NMI and ARI: k-means forms as many groups of the test set as there are labels, without seeing these. "
        "1: the groups are the labels. For random groups ARI is 0 on average, and NMI is above 0, "
        "the more so the fewer items there are.",
        "Chance: always the most frequent label of the training set, and groups independent of the labels.",
    ]


def _doubts(name: str, probe: Probe, groups: Clustering, n_classes: int, starts: int) -> list[str]:
    """Caveats to one model's figures."""
    doubts = []
    if not probe.converged:
        doubts.append(f"{name}: the linear probe had not converged after {probe.steps} steps; more could change it.")
    if groups.n_clusters < n_classes:
        doubts.append(f"{name}: embeddings coincide; only {groups.n_clusters} of {n_classes} groups could be formed.")
    if starts < STARTS:
        doubts.append(f"{name}: k-means began {starts} times, not {STARTS} times, to bound the time.")
    return doubts
