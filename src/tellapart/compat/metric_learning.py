"""pytorch-metric-learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from tellapart._engine import LineUp, evaluate
from tellapart.compat.common import pair_losses
from tellapart.errors import as_temperature, requirement
from tellapart.objective import info_nce
from tellapart.relations import Relation, but_not, check_relation, paired, same

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.relations import Ids


class MetricLearningNTXentLoss(nn.Module):
    """pytorch-metric-learning's `NTXentLoss`: one cross-entropy per positive pair, `L_ap = log(1 + Z⁻_a / exp S_ap)`.

    Z⁻_a sums over the keys with another label than a. The other positives of a are not in the denominator, so this is
    neither SupCon nor, with more than two views, NT-Xent. The mean is over all pairs.

    The peer takes `log(num/den + tiny)`, which saturates near 87 in float32 without a gradient; this loss does not.
    The peer returns 0 if there is no positive pair (this raises), or if there is only one pair of each kind. The
    peer leaves out pair (i, i) if `ref_labels` is the same tensor as `labels`, this if there is no `ref_emb`.
    Without a negative, both are 0. Not here: miners' tuples, other distances, reducers and regularizers.

    Args:
        temperature: τ > 0.

    Raises:
        ValueError: τ ≤ 0; in a call, no positive pair, `ref_emb` without `ref_labels`, or as `info_nce`.

    Source: Sohn 2016, eq. 6, over positive pairs; τ: Chen et al. 2020, eq. 1.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> MetricLearningNTXentLoss(temperature=1.0)(x, torch.tensor([0, 0, 1]))  # log(1 + e⁻¹)
    tensor(0.3133)
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = as_temperature(temperature, 1)

    def forward(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Ids,
        *,
        ref_emb: Float[Tensor, "m d"] | None = None,
        ref_labels: Ids | None = None,
    ) -> Float[Tensor, ""]:
        """The mean over all positive pairs, among the embeddings or, if given, with `ref_emb`."""
        keys, alike, positives = _labelled(embeddings, labels, ref_emb, ref_labels)
        check_relation("labels", alike, n := len(embeddings), m := len(keys))
        line_up = LineUp.build(embeddings, keys, positives=positives, exclude=alike, temperature=self.temperature)
        n_positives = positives.counts(n, m, embeddings.device)[0]
        if not bool(n_positives.any()):
            raise ValueError(requirement("labels", "relate at least one embedding to another", "no positive pair"))
        if bool((alike.counts(n, m, embeddings.device)[0] == m).any()):
            return (0 * embeddings).sum()  # No query with a positive has a negative: each loss is log 1.
        log_negatives = evaluate(line_up).log_partition
        return pair_losses(embeddings, keys, positives, log_negatives, self.temperature).sum() / n_positives.sum()


class MetricLearningSupConLoss(nn.Module):
    """pytorch-metric-learning's `SupConLoss`: `L_i = −1/|P(i)| Σ_{p∈P(i)} log p_ip`, as `variants.sup_con`.

    The peer's mean leaves out losses that round to 0; this mean is over all queries that have a positive. Without a
    positive the peer returns 0, and this raises. Without a negative the peer returns 0, where this follows the
    formula, which still spreads the positives. For `ref_labels` and missing options see `MetricLearningNTXentLoss`.

    Args:
        temperature: τ > 0.

    Raises:
        ValueError: τ ≤ 0; in a call, no positive pair, `ref_emb` without `ref_labels`, or as `info_nce`.

    Source: Khosla et al. 2020, eq. 2.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> MetricLearningSupConLoss(temperature=1.0)(x, torch.tensor([0, 0, 1, 1]))  # log(e + 2) − 1
    tensor(0.5514)
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = as_temperature(temperature, 1)

    def forward(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Ids,
        *,
        ref_emb: Float[Tensor, "m d"] | None = None,
        ref_labels: Ids | None = None,
    ) -> Float[Tensor, ""]:
        """The mean over the embeddings with a positive, among themselves or, if given, in `ref_emb`."""
        keys, _, positives = _labelled(embeddings, labels, ref_emb, ref_labels)
        exclude = paired() if keys is embeddings else None
        return info_nce(embeddings, keys, positives=positives, exclude=exclude, temperature=self.temperature)


def _labelled(
    embeddings: Tensor, labels: Ids, ref_emb: Tensor | None, ref_labels: Ids | None
) -> tuple[Tensor, Relation, Relation]:
    """The keys, the relation "same label", and the relation "positive": same label, but not the query itself."""
    if (ref_emb is None) != (ref_labels is None):
        got = "`ref_emb` alone" if ref_labels is None else "`ref_labels` alone"
        raise ValueError(requirement("ref_emb", "be given together with `ref_labels`", got))
    if ref_emb is None or ref_emb is embeddings:
        alike = same(labels)
        return embeddings, alike, but_not(alike, paired())
    alike = same(labels, ref_labels)
    return ref_emb, alike, alike
