"""The linear probe: what a linear classifier reads off embeddings that stay as they are."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tellapart.errors import requirement
from tellapart.evaluation.labels import check_sides, integer_labels

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.evaluation.labels import Labels

_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class Probe:
    """What a linear probe predicts, and whether its fit had come to its end.

    One that had not converged after so many `steps` still predicts, but another number of steps would
    predict otherwise: raise `max_steps`, or lower `regularisation`.
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

    With x̂ the embeddings standardised by the training set's mean and deviation, column by column, or sparse ones as
    they are (the deviation of a rare word is small: divided by it, the word would count more than all others),

        W, b = argmin C Σ_i −log softmax(W x̂_i + b)_{y_i} + ½‖W‖²,    predicted = argmax_c (W x̂ + b)_c.

    Two classes share one row of W, that of their difference. Columns constant over the training set are
    left out. The problem is convex and L-BFGS starts from zero: no randomness is involved.

    Args:
        train: the embeddings whose labels are known, dense or sparse with coordinates (COO).
        train_labels: their labels, any integers, one each.
        queries: the embeddings to be labelled, as dense as `train`.
        regularisation: C; the *smaller* it is, the more W is held back.
        max_steps: steps of L-BFGS at most.

    Raises:
        TypeError: embeddings that are not floating-point, labels that are not integers.
        ValueError: an empty set, embeddings that are not finite or differ in width, labels of another
            number than the embeddings or all the same, one side sparse and the other not, C not positive and finite,
            `max_steps` below 1.

    Source: Alain & Bengio 2016; the solver and its 1000 steps, Radford et al. 2021, appendix A.3.

    >>> train = torch.tensor([[1.0, 5.0], [2.0, 5.0], [8.0, 5.0], [9.0, 5.0]])
    >>> probe = linear_probe(train, [7, 7, -2, -2], torch.tensor([[0.0, 5.0], [10.0, 5.0]]))
    >>> probe.labels, probe.converged
    (tensor([ 7, -2]), True)
    """
    check_sides(train, queries)
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
    # Products with so few columns wait for memory: further threads only wait for one another, and take longer.
    with threadpool_limits(1, user_api="blas"):
        converged = _fit(model, known, labels.cpu().numpy())
        # In chunks: queries may be many more than there is memory for in float64.
        chunks = [queries] if queries.is_sparse else queries.split(_CHUNK)
        told = [torch.from_numpy(model.predict(prepare(chunk))) for chunk in chunks]
    return Probe(torch.cat(told).to(queries.device), converged, int(model.n_iter_[0]))


class _Standardise:
    """Takes the training set's mean off, and divides by its deviation; zero where that is constant."""

    def __init__(self, train: Float[Tensor, "m d"]) -> None:
        # In float64: where a mean is large beside its deviation, the difference loses digits.
        known = train.detach().cpu().double()
        self.mean, deviation = known.mean(dim=0), known.std(dim=0, correction=0)
        # By its range: the deviation of a constant is not always 0 when rounded.
        constant = (known.amax(dim=0) == known.amin(dim=0)) | (deviation == 0)
        self.deviation = deviation.masked_fill(constant, math.inf)

    def __call__(self, vectors: Float[Tensor, "n d"]) -> Float[np.ndarray, "n d"]:
        return ((vectors.detach().cpu().double() - self.mean) / self.deviation).numpy()


def _sparse_rows(vectors: Float[Tensor, "n d"]) -> Any:
    """A matrix of scikit-learn's kind."""
    from scipy.sparse import csr_matrix

    cells = vectors.detach().cpu().coalesce()
    return csr_matrix((cells.values().double().numpy(), cells.indices().numpy()), shape=tuple(vectors.shape))


def _fit(model: Any, embeddings: Any, labels: Int[np.ndarray, " m"]) -> bool:
    """Fit a scikit-learn model. Whether it converged, which it tells by a warning alone."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True, action="always", category=ConvergenceWarning) as caught:
        model.fit(embeddings, labels)
    others = [warning for warning in caught if not issubclass(warning.category, ConvergenceWarning)]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return len(others) == len(caught)
