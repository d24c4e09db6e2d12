"""Membership: whether shared keys give away which examples they were made of, or the model was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tellapart.errors import check_embeddings, requirement
from tellapart.evaluation.roc import roc_auc
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

_CHUNK = 1024


def membership(
    shared: Float[Tensor, "k d"],
    inside: Float[Tensor, "n d"],
    outside: Float[Tensor, "m d"],
    inside_labels: Int[Tensor, " n"] | None = None,
    outside_labels: Int[Tensor, " m"] | None = None,
) -> float:
    """AUC of an attack that takes an example for a member if its greatest cosine with a shared key is large.

    It is the probability that a member has a greater one than a non-member of the same class, a tie counted half; 0.5
    is guessing. Of several classes it is the mean, weighted by their members.

    Args:
        shared: keys that left the data's owner.
        inside: embeddings of members.
        outside: embeddings of examples that the owner does not have.
        inside_labels: the members' classes; by default all are of one.
        outside_labels: the others', likewise.

    Raises:
        TypeError: embeddings that are not floating-point.
        ValueError: embeddings that are empty or not finite; no class with both members and others.

    Source: Shokri et al. 2017 (https://arxiv.org/abs/1610.05820) for the question, Liu et al. 2021 (EncoderMI,
    https://arxiv.org/abs/2108.11023) for similarities of a contrastive encoder as the answer.

    >>> membership(torch.eye(2), torch.eye(2), torch.ones(3, 2))
    1.0
    """
    for parameter, value in (("shared", shared), ("inside", inside), ("outside", outside)):
        check_embeddings(parameter, value)
    ours, theirs = _nearest(shared, inside), _nearest(shared, outside)
    labels = torch.zeros(len(ours)) if inside_labels is None else inside_labels
    others = torch.zeros(len(theirs)) if outside_labels is None else outside_labels
    found, weights = [], []
    for label in labels.unique():
        a, b = ours[labels == label], theirs[others == label]
        if len(b):
            found.append(roc_auc(a.cpu(), b.cpu()))
            weights.append(len(a))
    if not found:
        raise ValueError(requirement("outside_labels", "share a class with inside_labels", "none"))
    return sum(auc * weight for auc, weight in zip(found, weights, strict=True)) / sum(weights)


def _nearest(shared: Tensor, vectors: Tensor) -> Float[Tensor, " n"]:
    keys = unit(shared.float())
    return torch.cat([(unit(part.float()) @ keys.T).amax(dim=1) for part in vectors.split(_CHUNK)])
