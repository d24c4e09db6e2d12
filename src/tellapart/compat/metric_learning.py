"""pytorch-metric-learning: `from tellapart.compat.metric_learning import NTXentLoss, SupConLoss`.

Where the peer is installed, the losses are of its `BaseMetricLossFunction`, which its wrappers ask for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from tellapart._engine import LineUp, evaluate, segment_logsumexp
from tellapart._traced import is_traced
from tellapart.compat.common import pair_losses
from tellapart.errors import as_temperature, check_embeddings, check_loss, requirement
from tellapart.objective import info_nce
from tellapart.relations import Relation, but_not, check_relation, everyone, paired, same

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart.relations import Ids

    Indices = tuple[Int[Tensor, " p"], ...]

try:
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.losses import BaseMetricLossFunction
except ImportError:
    BaseMetricLossFunction = None

__all__ = ["MetricLearningNTXentLoss", "MetricLearningSupConLoss", "NTXentLoss", "SupConLoss"]


class _Standalone(nn.Module):
    """What the peer's base class keeps, where the peer is not installed."""

    def __init__(
        self,
        distance: Callable[..., Tensor] | None = None,
        reducer: Callable[..., Tensor] | None = None,
        embedding_regularizer: Callable[[Tensor], Tensor] | None = None,
        embedding_reg_weight: float = 1,
        collect_stats: bool | None = None,
    ) -> None:
        super().__init__()
        self.distance, self.reducer, self.collect_stats = distance, reducer, collect_stats
        self.embedding_regularizer, self.embedding_reg_weight = embedding_regularizer, embedding_reg_weight


_Base: Any = _Standalone if BaseMetricLossFunction is None else BaseMetricLossFunction


class _PairLoss(_Base):  # type: ignore[misc]
    """What both losses share: the peer's arguments, and two ways to the loss.

    The mean over labelled pairs, of cosines, is streamed. A miner's indices, another distance or a reducer take the
    whole matrix of scores, as in the peer.
    """

    def __init__(self, temperature: float, distance: Any = None, reducer: Any = None, **options: Any) -> None:
        super().__init__(distance=distance, reducer=reducer, **options)
        self.temperature = as_temperature(temperature, 1)
        self._is_plain, self._has_reducer = distance is None and reducer is None, reducer is not None
        self._other_distance = distance

    def get_default_distance(self) -> Any:
        """The peer's, of cosines: for those that read `distance`."""
        return CosineSimilarity()

    def forward(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Ids | None = None,
        indices_tuple: Indices | None = None,
        ref_emb: Float[Tensor, "m d"] | None = None,
        ref_labels: Ids | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of the pairs among the embeddings or, if given, with `ref_emb`.

        Args:
            embeddings: `(n, d)`.
            labels: one per embedding, of any kind; they may be left out beside a miner's indices.
            indices_tuple: a miner's pairs (anchors, positives, anchors, negatives), or triplets.
            ref_emb: `(m, d)`, the keys.
            ref_labels: their labels.
        """
        check_embeddings("embeddings", embeddings)
        if indices_tuple is None and self._is_plain:
            loss: Tensor = self._streamed(embeddings, *_labelled(embeddings, labels, ref_emb, ref_labels))
        else:
            pairs = _pairs(embeddings, labels, indices_tuple, ref_emb, ref_labels)
            loss = self._of_pairs(embeddings, embeddings if ref_emb is None else ref_emb, pairs, labels)
        if self.embedding_regularizer is not None:
            loss = loss + self.embedding_reg_weight * self.embedding_regularizer(embeddings)
        return loss

    def _of_pairs(self, embeddings: Tensor, keys: Tensor, pairs: Indices, labels: Ids | None) -> Tensor:
        """The loss of listed pairs, from the whole matrix of scores."""
        if not len(pairs[0]):
            return _without_positives(embeddings)
        if self._other_distance is None:
            line_up = LineUp.build(embeddings, keys, positives=everyone(), temperature=self.temperature)
            logits = line_up.logits()
        else:
            matrix = self.distance(embeddings, keys)
            logits = (matrix if self.distance.is_inverted else -matrix) / self.temperature
        found = self._losses(logits, pairs)
        if self._has_reducer:
            reduced: Tensor = self.reducer({"loss": found}, embeddings, labels)
            return reduced
        return check_loss(self._mean(found["losses"], pairs))


class NTXentLoss(_PairLoss):
    """pytorch-metric-learning's `NTXentLoss`: one cross-entropy per positive pair, `L_ap = log(1 + Z⁻_a / exp S_ap)`.

    Z⁻_a sums over the keys with another label than a. The other positives of a are not in the denominator, so this is
    neither SupCon nor, with more than two views, NT-Xent. The mean is over all pairs.

    The peer takes `log(num/den + tiny)`, which saturates near 87 in float32 without a gradient; this loss does not.
    Without a positive pair it is 0, as in the peer, with a warning. The peer also returns 0 if there is only one pair
    of each kind. It leaves out pair (i, i) if `ref_labels` is the same tensor as `labels`, this if there is no
    `ref_emb`. Without a negative, both are 0.

    Args:
        temperature: τ > 0.
        distance: the peer's, such as `LpDistance`; cosines by default.
        reducer: the peer's, of the losses of all pairs; their mean by default.
        options: of the peer's base class: `embedding_regularizer`, `embedding_reg_weight`, `collect_stats`.

    Raises:
        ValueError: τ ≤ 0; in a call, `ref_emb` without `ref_labels`, or as `info_nce`.

    Source: Sohn 2016, eq. 6, over positive pairs; τ: Chen et al. 2020, eq. 1.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> NTXentLoss(temperature=1.0)(x, torch.tensor([0, 0, 1]))  # log(1 + e⁻¹)
    tensor(0.3133)
    """

    def __init__(self, temperature: float = 0.07, **options: Any) -> None:
        super().__init__(temperature, **options)

    def _streamed(self, embeddings: Tensor, keys: Tensor, alike: Relation, positives: Relation) -> Tensor:
        check_relation("labels", alike, len(embeddings), m := len(keys))
        line_up = LineUp.build(embeddings, keys, positives=positives, exclude=alike, temperature=self.temperature)
        n_positives = _counted(positives, embeddings, m)
        if not is_traced(embeddings):
            if not bool(n_positives.any()):
                return _without_positives(embeddings)
            if bool((_counted(alike, embeddings, m) == m).any()):
                return (0 * embeddings).sum()  # No query with a positive has a negative: each loss is log 1.
        log_negatives = evaluate(line_up).log_partition
        losses = pair_losses(embeddings, keys, positives, log_negatives, self.temperature)
        return check_loss(losses.sum() / n_positives.sum())

    def _losses(self, logits: Tensor, pairs: Indices) -> dict[str, Any]:
        anchors, positives, others, negatives = pairs
        log_negatives = segment_logsumexp(logits[others, negatives], others, len(logits))
        losses = softplus(log_negatives[anchors] - logits[anchors, positives])
        return {"losses": losses, "indices": (anchors, positives), "reduction_type": "pos_pair"}

    def _mean(self, losses: Tensor, pairs: Indices) -> Tensor:  # noqa: ARG002
        return losses.mean()


class SupConLoss(_PairLoss):
    """pytorch-metric-learning's `SupConLoss`: `L_i = −1/|P(i)| Σ_{p∈P(i)} log p_ip`, as `variants.sup_con`.

    The peer's mean leaves out losses that round to 0; this mean is over all queries that have a positive. Its own
    `AvgNonZeroReducer`, given as `reducer`, does as there. Without a positive pair the loss is 0, as in the peer, with
    a warning. Without a negative the peer returns 0, where this follows the formula, which still spreads the positives.

    Args:
        temperature: τ > 0.
        options: `distance`, `reducer` and those of the peer's base class, as for `NTXentLoss`.

    Raises:
        ValueError: τ ≤ 0; in a call, `ref_emb` without `ref_labels`, or as `info_nce`.

    Source: Khosla et al. 2020, eq. 2.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> SupConLoss(temperature=1.0)(x, torch.tensor([0, 0, 1, 1]))  # log(e + 2) − 1
    tensor(0.5514)
    """

    def __init__(self, temperature: float = 0.1, **options: Any) -> None:
        super().__init__(temperature, **options)

    def _streamed(self, embeddings: Tensor, keys: Tensor, _: Relation, positives: Relation) -> Tensor:
        check_relation("labels", positives, len(embeddings), len(keys))
        if not is_traced(embeddings) and not bool(_counted(positives, embeddings, len(keys)).any()):
            return _without_positives(embeddings)
        exclude = paired() if keys is embeddings else None
        return info_nce(embeddings, keys, positives=positives, exclude=exclude, temperature=self.temperature)

    def _losses(self, logits: Tensor, pairs: Indices) -> dict[str, Any]:
        positive, candidate = (torch.zeros_like(logits, dtype=torch.bool) for _ in range(2))
        positive[pairs[0], pairs[1]] = candidate[pairs[0], pairs[1]] = candidate[pairs[2], pairs[3]] = True
        lonely = ~candidate.any(1, keepdim=True)
        log_shares = logits - logits.masked_fill(~candidate & ~lonely, -torch.inf).logsumexp(1, keepdim=True)
        losses = -log_shares.masked_fill(~positive, 0).sum(1) / positive.sum(1).clamp(min=1)
        indices = torch.arange(len(logits), device=logits.device)
        return {"losses": losses, "indices": indices, "reduction_type": "element"}

    def _mean(self, losses: Tensor, pairs: Indices) -> Tensor:
        return losses.sum() / len(pairs[0].unique())


MetricLearningNTXentLoss, MetricLearningSupConLoss = NTXentLoss, SupConLoss


def _labelled(
    embeddings: Tensor, labels: Ids | None, ref_emb: Tensor | None, ref_labels: Ids | None
) -> tuple[Tensor, Relation, Relation]:
    """The keys, the relation "same label", and the relation "positive": same label, but not the query itself."""
    if labels is None:
        raise ValueError(requirement("labels", "be given where `indices_tuple` is not", None))
    if (ref_emb is None) != (ref_labels is None):
        got = "`ref_emb` alone" if ref_labels is None else "`ref_labels` alone"
        raise ValueError(requirement("ref_emb", "be given together with `ref_labels`", got))
    if ref_emb is None or ref_emb is embeddings:
        alike = same(_ids(labels))
        return embeddings, alike, but_not(alike, paired())
    assert ref_labels is not None
    alike = same(_ids(labels), _ids(ref_labels))
    return ref_emb, alike, alike


def _ids(labels: Ids) -> Ids:
    """Labels as ids: floats are compared by value, as numbers that happen to be floats."""
    return labels.tolist() if isinstance(labels, Tensor) and labels.is_floating_point() else labels


def _pairs(
    embeddings: Tensor, labels: Ids | None, indices: Indices | None, ref_emb: Tensor | None, ref_labels: Ids | None
) -> Indices:
    """Anchors and positives, anchors and negatives: a miner's, or all that the labels give."""
    if indices is not None:
        indices = tuple(side.to(embeddings.device) for side in indices)
        return indices if len(indices) == 4 else (*indices[:2], indices[0], indices[2])
    keys, alike, positives = _labelled(embeddings, labels, ref_emb, ref_labels)
    check_relation("labels", alike, n := len(embeddings), m := len(keys))
    places = slice(0, n), slice(0, m), embeddings.device
    return *positives.tile(*places).nonzero().unbind(1), *(~alike.tile(*places)).nonzero().unbind(1)


def _counted(relation: Relation, embeddings: Tensor, m: int) -> Int[Tensor, " n"]:
    """How many of m keys each embedding is related to."""
    n, device = len(embeddings), embeddings.device
    if is_traced(embeddings):
        return relation.tile(slice(0, n), slice(0, m), device).sum(1)
    return relation.counts(n, m, device)[0]


def _without_positives(embeddings: Tensor) -> Tensor:
    """0, and a warning: this batch teaches nothing."""
    warnings.warn("No two labels of this batch are the same: the loss is 0.", stacklevel=4)
    return (0 * embeddings).sum()
