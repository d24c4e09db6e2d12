"""Clustering: whether embeddings form the groups of their labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.errors import check_embeddings, requirement
from tellapart.evaluation.bounds import STARTS
from tellapart.evaluation.labels import integer_labels
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.evaluation.labels import Labels

_ALONE = -1  # HDBSCAN's mark


@dataclass(frozen=True)
class Clustering:
    """How well clusters agree with labels (1: the same partition), and the number of clusters.

    K-means finds fewer clusters than requested if there are fewer different embeddings.
    """

    nmi: float
    ari: float
    n_clusters: int
    clustered: float = 1.0
    """The share of the embeddings that are in a cluster."""


def clustering(
    embeddings: Float[Tensor, "n d"],
    labels: Labels,
    *,
    n_clusters: int | None = None,
    seed: int = 0,
    starts: int = STARTS,
) -> Clustering:
    """Group unit embeddings by k-means, the best of 10 `starts`, and compare the groups with the labels.

    U are the clusters, V the labels, I their mutual information and H their entropies. The numbers u, v and a count
    the pairs that are together in U, in V and in both, and E a = u v / (n (n − 1) / 2) is the mean of a by chance.

        NMI = 2 I(U; V) / (H(U) + H(V)),    ARI = (a − E a) / ((u + v) / 2 − E a).

    ARI is 0 on average for clusters drawn at random, and can be negative. NMI is not corrected for chance:
    many clusters of few embeddings raise it.

    Args:
        embeddings: only their directions matter.
        labels: any integers, one per embedding.
        n_clusters: the number of groups, from 1 to n; by default the number of different labels.
        seed: for the starts of k-means.
        starts: how many there are, at least 1.

    Raises:
        TypeError: embeddings that are not floating-point, labels that are not integers.
        ValueError: embeddings that are empty or not finite, not one label per embedding, labels all the same,
            more clusters than embeddings, no start, or a seed beyond 32 bits.

    Source: NMI: Vinh et al. 2010, NMI_sum. ARI: Hubert & Arabie 1985. The starts: k-means++, Arthur &
    Vassilvitskii 2007, §2.2.

    >>> clustering(torch.tensor([[1.0, 0.0], [3.0, 0.1], [0.0, 1.0], [0.1, 2.0]]), [7, 7, -2, -2])
    Clustering(nmi=1.0, ari=1.0, n_clusters=2, clustered=1.0)
    """
    numbers = _checked(embeddings, labels)
    wanted = len(set(numbers.tolist())) if n_clusters is None else n_clusters
    return _agreement(numbers, grouped(embeddings, n_clusters=wanted, seed=seed, starts=starts).numpy())


def density_clustering(embeddings: Float[Tensor, "n d"], labels: Labels, *, least: int | None = None) -> Clustering:
    """Group unit embeddings by HDBSCAN, which finds the number of groups, and compare the groups with the labels.

    NMI and ARI are as in `clustering`. An embedding that HDBSCAN assigns to no cluster counts as a group of one, so
    that no clusters at all give ARI 0.

    Args:
        embeddings: only their directions matter.
        labels: any integers, one per embedding.
        least: the size of the smallest cluster, 2 or more; by default 2 % of the embeddings, and at least 5.

    Raises:
        TypeError: embeddings that are not floating-point, labels that are not integers.
        ValueError: embeddings that are empty or not finite, not one label per embedding, labels all the same, or
            clusters of fewer than 2.

    Source: Campello, Moulavi & Sander 2013, with Euclidean distances.

    >>> near = torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 6) + torch.linspace(0, 0.01, 12)[:, None]
    >>> density_clustering(near, [7] * 6 + [-2] * 6)
    Clustering(nmi=1.0, ari=1.0, n_clusters=2, clustered=1.0)
    """
    numbers = _checked(embeddings, labels)
    return _agreement(numbers, grouped(embeddings, least=least).numpy())


def grouped(
    embeddings: Float[Tensor, "n d"],
    *,
    n_clusters: int | None = None,
    least: int | None = None,
    seed: int = 0,
    starts: int = STARTS,
) -> Int[Tensor, " n"]:
    """The group of each embedding, by direction: k-means if their number is given, else HDBSCAN, which finds it.

    Groups are numbered from 0; HDBSCAN leaves embeddings out, which have -1.

    Args:
        embeddings: only their directions matter.
        n_clusters: the number of groups, from 1 to n.
        least: of HDBSCAN, the size of the smallest group, 2 or more; by default 2 % of the embeddings, and at least 5.
        seed: for the starts of k-means.
        starts: of k-means, of which the best is taken.

    Raises:
        TypeError: embeddings that are not floating-point.
        ValueError: embeddings that are empty or not finite, more groups than embeddings, groups of fewer than 2, no
            start, or a seed beyond 32 bits.

    >>> grouped(torch.tensor([[1.0, 0.0], [3.0, 0.1], [0.0, 1.0], [0.1, 2.0]]), n_clusters=2).unique().tolist()
    [0, 1]
    """
    check_embeddings("embeddings", embeddings)
    precise = torch.promote_types(embeddings.dtype, torch.float32)
    vectors = unit(embeddings.detach().to(precise), "embeddings").cpu().numpy()
    found = _by_density(vectors, least) if n_clusters is None else _by_k_means(vectors, n_clusters, seed, starts)
    return torch.from_numpy(np.asarray(found, dtype=np.int64))


def _by_k_means(vectors: np.ndarray, n_clusters: int, seed: int, starts: int) -> np.ndarray:
    if not 1 <= n_clusters <= len(vectors):
        must = f"lie between 1 and {len(vectors)}, the number of embeddings"
        raise ValueError(requirement("n_clusters", must, n_clusters))
    if starts < 1:
        raise ValueError(requirement("starts", "be at least 1", starts))
    if not 0 <= seed < 2**32:
        raise ValueError(requirement("seed", "lie between 0 and 2^32 - 1", seed))
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with (
        # It warns if it finds fewer clusters than requested, which the result states anyway.
        warnings.catch_warnings(action="ignore", category=ConvergenceWarning),
        # Each product is small: with more threads it takes longer.
        threadpool_limits(1, user_api="blas"),
    ):
        found: np.ndarray = KMeans(n_clusters, n_init=starts, random_state=seed).fit_predict(vectors)
    return found


def _by_density(vectors: np.ndarray, least: int | None) -> np.ndarray:
    size = max(5, len(vectors) // 50) if least is None else least
    if size < 2:
        raise ValueError(requirement("least", "be at least 2", least))
    if size > len(vectors):  # no cluster is possible
        return np.full(len(vectors), _ALONE)
    from sklearn.cluster import HDBSCAN
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        found: np.ndarray = HDBSCAN(min_cluster_size=size, copy=True).fit_predict(vectors)
    return found


def _checked(embeddings: Tensor, labels: Labels) -> np.ndarray:
    check_embeddings("embeddings", embeddings)
    numbers: np.ndarray = integer_labels("labels", labels, len(embeddings), n_classes=2).cpu().numpy()
    return numbers


def _agreement(truth: np.ndarray, found: np.ndarray) -> Clustering:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    alone = found == _ALONE
    groups = np.where(alone, np.arange(len(found)) + found.max() + 1, found)
    nmi, ari = normalized_mutual_info_score(truth, groups), adjusted_rand_score(truth, groups)
    return Clustering(float(nmi), float(ari), len(set(found[~alone].tolist())), float(1 - alone.mean()))
