"""Clusters: whether the groups that embeddings form by themselves are those of the labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tellapart.errors import check_embeddings, requirement
from tellapart.evaluation.labels import integer_labels
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.evaluation.labels import Labels

_STARTS = 10


@dataclass(frozen=True)
class Clustering:
    """How well clusters agree with labels: 1 if they are the same partition; and how many clusters were found.

    They are fewer than were asked for where fewer embeddings differ.
    """

    nmi: float
    ari: float
    n_clusters: int


def clustering(
    embeddings: Float[Tensor, "n d"], labels: Labels, *, n_clusters: int | None = None, seed: int = 0
) -> Clustering:
    """Group unit embeddings by k-means, the best of 10 starts, and compare the groups with the labels.

    With U the clusters, V the labels, I their mutual information and H their entropies; u, v and a the numbers
    of pairs that are together in U, in V and in both, and E a = u v / (n (n − 1) / 2) what chance makes of a,

        NMI = 2 I(U; V) / (H(U) + H(V)),    ARI = (a − E a) / ((u + v) / 2 − E a).

    ARI is 0 on average for clusters drawn at random, and can be negative. NMI is not corrected for chance:
    many clusters of few embeddings raise it.

    Args:
        embeddings: they count by their direction only.
        labels: any integers, one each.
        n_clusters: how many groups to form, from 1 to n; by default as many as there are labels.
        seed: where k-means starts from.

    Raises:
        TypeError: embeddings that are not floating-point, labels that are not integers.
        ValueError: no embeddings, ones that are not finite, labels of another number or all the same,
            more clusters than embeddings, or a seed beyond 32 bits.

    Source: NMI: Vinh et al. 2010, NMI_sum. ARI: Hubert & Arabie 1985. The starts: k-means++, Arthur &
    Vassilvitskii 2007, §2.2.

    >>> clustering(torch.tensor([[1.0, 0.0], [3.0, 0.1], [0.0, 1.0], [0.1, 2.0]]), [7, 7, -2, -2])
    Clustering(nmi=1.0, ari=1.0, n_clusters=2)
    """
    check_embeddings("embeddings", embeddings)
    numbers = integer_labels("labels", labels, n := len(embeddings), n_classes=2).cpu().numpy()
    wanted = len(set(numbers.tolist())) if n_clusters is None else n_clusters
    if not 1 <= wanted <= n:
        raise ValueError(requirement("n_clusters", f"lie between 1 and {n}, the number of embeddings", wanted))
    if not 0 <= seed < 2**32:
        raise ValueError(requirement("seed", "lie between 0 and 2^32 - 1", seed))
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from threadpoolctl import threadpool_limits

    precise = torch.promote_types(embeddings.dtype, torch.float32)
    vectors = unit(embeddings.detach().to(precise), "embeddings").cpu().numpy()
    with (
        # It warns of clusters fewer than asked for, which the result states.
        warnings.catch_warnings(action="ignore", category=ConvergenceWarning),
        # Each product is small: further threads only wait for one another, and take longer.
        threadpool_limits(1, user_api="blas"),
    ):
        found = KMeans(wanted, n_init=_STARTS, random_state=seed).fit_predict(vectors)
    nmi, ari = normalized_mutual_info_score(numbers, found), adjusted_rand_score(numbers, found)
    return Clustering(float(nmi), float(ari), len(set(found.tolist())))
