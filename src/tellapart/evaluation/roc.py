"""The area under the ROC curve, of scores that should be above others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float


def roc_auc(above: Float[Any, " p"], below: Float[Any, " q"]) -> float:
    """The area under the ROC curve: how often a score of `above` is larger than one of `below`, a tie counted half.

    `AUC = P(a > b) + ½ P(a = b)` over all combinations of a score from each: 1 is perfect, ½ is guessing.

    Args:
        above: an array, or a tensor on the CPU.
        below: likewise.

    Raises:
        ValueError: an empty array, or a score that is not finite.

    Source: Hanley & McNeil 1982; computed by scikit-learn.

    >>> roc_auc([3.0, 2.0], [2.0, 1.0])
    0.875
    """
    from sklearn.metrics import roc_auc_score

    scores = np.concatenate([np.asarray(above), np.asarray(below)])
    return float(roc_auc_score(np.arange(len(scores)) < len(above), scores))
