"""The linear probe: a linear classifier on frozen embeddings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch

from tellapart.errors import requirement
from tellapart.evaluation.labels import check_widths, integer_labels

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.evaluation.labels import Labels

_CHUNK = 8192
_PRECISE = 2**23  # numbers that are fitted in float64; more are in float32, which takes half of time and memory


@dataclass(frozen=True, eq=False)
class Probe:
    """The labels that a linear probe predicts, and whether its fit converged.

    If it did not converge after `steps` steps, more steps could change the labels: raise `max_steps`, or lower
    `regularisation`.
    """

    labels: Int[Tensor, " n"]
    converged: bool
    steps: int


def linear_probe(
    train: Float[Tensor, "m d"],
    train_labels: Labels,
    queries: Float[Tensor, "n d"],
    *,
    regularisation: float = 1.0,
    max_steps: int = 1000,
) -> Probe:
    """Predict each query's label by logistic regression on the training embeddings.

    With x̂ the embeddings standardised by the training set's mean and deviation, column by column,

        W, b = argmin C Σ_i −log softmax(W x̂_i + b)_{y_i} + ½‖W‖²,    predicted = argmax_c (W x̂ + b)_c.

    Sparse embeddings are not standardised: division by the small deviation of a rare word would make it outweigh all
    others. Two classes share one row of W, that of their difference. Columns constant over the training set are left
    out. The problem is convex and L-BFGS starts from zero, so there is no randomness. More than 2²³ numbers are fitted
    in float32.

    Args:
        train: the embeddings with known labels, dense or sparse with coordinates (COO).
        train_labels: their labels, any integers, one per embedding.
        queries: the embeddings to be labelled, in the layout of `train`.
        regularisation: C; a *smaller* C penalises W more.
        max_steps: the largest number of L-BFGS steps.

    Raises:
        TypeError: embeddings that are not floating-point, labels that are not integers.
        ValueError: an empty set, embeddings that are not finite or differ in width, not one label per training
            embedding, labels all the same, only one of both sets sparse, C not positive and finite, `max_steps`
            below 1.

    Source: Alain & Bengio 2016; the solver and its 1000 steps, Radford et al. 2021, appendix A.3.

    >>> train = torch.tensor([[1.0, 5.0], [2.0, 5.0], [8.0, 5.0], [9.0, 5.0]])
    >>> probe = linear_probe(train, [7, 7, -2, -2], torch.tensor([[0.0, 5.0], [10.0, 5.0]]))
    >>> probe.labels, probe.converged
    (tensor([ 7, -2]), True)
    """
    check_widths(train, queries)
    if queries.layout != train.layout:
        raise ValueError(requirement("queries", f"be {train.layout}, as `train` is", queries.layout))
    labels = integer_labels("train_labels", train_labels, len(train), n_classes=2)
    if not 0 < regularisation < math.inf:
        raise ValueError(requirement("regularisation", "be positive and finite", regularisation))
    if max_steps < 1:
        raise ValueError(requirement("max_steps", "be at least 1", max_steps))
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    prepare = _sparse_rows if train.is_sparse else _Standardise(train)
    known = prepare(train)
    model = LogisticRegression(C=regularisation, max_iter=max_steps)
    # Products with few columns are bound by memory: with more threads they take longer.
    with threadpool_limits(1, user_api="blas"):
        converged = _fit(model, known, labels.cpu().numpy())
        # In chunks, because all queries may not fit in memory in float64.
        chunks = [queries] if queries.is_sparse else queries.split(_CHUNK)
        predicted = [torch.from_numpy(model.predict(prepare(chunk))) for chunk in chunks]
    return Probe(torch.cat(predicted).to(queries.device), converged, int(model.n_iter_[0]))


class _Standardise:
    """Subtracts the training set's mean and divides by its deviation; 0 in columns that are constant there."""

    def __init__(self, train: Float[Tensor, "m d"]) -> None:
        known = train.detach().cpu()
        # In float64, because the difference loses digits if a mean is large compared with its deviation.
        self.mean = _sum(chunk.sum(dim=0) for chunk in _precise(known)) / len(known)
        squares = _sum((chunk - self.mean).square_().sum(dim=0) for chunk in _precise(known))
        deviation = (squares / len(known)).sqrt()
        # Tested by the range, because the rounded deviation of a constant is not always 0.
        constant = (known.amax(dim=0) == known.amin(dim=0)) | (deviation == 0)
        self.deviation = deviation.masked_fill(constant, math.inf)
        self.dtype = torch.float64 if known.numel() <= _PRECISE else torch.float32

    def __call__(self, vectors: Float[Tensor, "n d"]) -> Float[np.ndarray, "n d"]:
        made = torch.empty(vectors.shape, dtype=self.dtype)
        for chunk, place in zip(_precise(vectors.detach().cpu()), made.split(_CHUNK), strict=True):
            place.copy_((chunk - self.mean).div_(self.deviation))
        return made.numpy()


def _precise(vectors: Float[Tensor, "n d"]) -> Iterator[Float[Tensor, "c d"]]:
    """Chunks in float64."""
    return (chunk.double() for chunk in vectors.split(_CHUNK))


def _sum(parts: Iterator[Float[Tensor, " d"]]) -> Float[Tensor, " d"]:
    return reduce(torch.add, parts)


def _sparse_rows(vectors: Float[Tensor, "n d"]) -> Any:
    """A SciPy matrix, for scikit-learn."""
    from scipy.sparse import csr_matrix

    cells = vectors.detach().cpu().coalesce()
    return csr_matrix((cells.values().double().numpy(), cells.indices().numpy()), shape=tuple(vectors.shape))


def _fit(model: Any, embeddings: Any, labels: Int[np.ndarray, " m"]) -> bool:
    """Fit a scikit-learn model. Returns whether it converged, which it reports only by a warning."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True, action="always", category=ConvergenceWarning) as caught:
        model.fit(embeddings, labels)
    others = [warning for warning in caught if not issubclass(warning.category, ConvergenceWarning)]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return len(others) == len(caught)
