"""Clusters against their formulas in loops and against scikit-learn's own, on groups that are known."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from tellapart.evaluation import Clustering, clustering, density_clustering

SEEDS = st.integers(0, 2**32 - 1)


def nmi(u, v):
    """Vinh et al. 2010, NMI_sum: 2 I / (H(U) + H(V)), from shares counted one by one."""
    n = len(u)

    def share(*pairs):
        return sum(all(side[i] == value for side, value in pairs) for i in range(n)) / n

    def entropy(side):
        return -math.fsum(share((side, x)) * math.log(share((side, x))) for x in set(side))

    both = [(share((u, x), (v, y)), share((u, x)), share((v, y))) for x in set(u) for y in set(v)]
    information = math.fsum(p * math.log(p / (p_x * p_y)) for p, p_x, p_y in both if p > 0)
    return 2 * information / (entropy(u) + entropy(v))


def ari(u, v):
    """Hubert & Arabie 1985, by looking at every pair."""
    pairs = list(combinations(range(len(u)), 2))
    in_u, in_v = ([side[i] == side[j] for i, j in pairs] for side in (u, v))
    both = sum(a and b for a, b in zip(in_u, in_v, strict=True))
    expected = sum(in_u) * sum(in_v) / len(pairs)
    most = (sum(in_u) + sum(in_v)) / 2
    return 1.0 if most == both else (both - expected) / (most - expected)


def around_axes(groups, rng, spread=1e-3):
    """Embeddings of known groups: each near an axis of its own, at any length."""
    directions = torch.eye(max(groups) + 1, dtype=torch.float64)[torch.tensor(groups)]
    noisy = directions + spread * torch.tensor(rng.normal(size=directions.shape))
    return noisy * torch.tensor(10.0 ** rng.uniform(-3, 3, (len(groups), 1)))


def several(values):
    return len(set(values)) > 1


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-5, 0, 2**40])), min_size=2, max_size=14)
    .map(lambda pairs: tuple(map(list, zip(*pairs, strict=True))))
    .filter(lambda sides: several(sides[1])),
    SEEDS,
)
def test_both_measures_equal_their_formulas_and_those_of_scikit_learn(sides, seed):
    groups, labels = sides
    got = clustering(around_axes(groups, np.random.default_rng(seed)), labels, n_clusters=len(set(groups)))
    assert got.nmi == pytest.approx(nmi(groups, labels), abs=1e-9)
    assert got.ari == pytest.approx(ari(groups, labels), abs=1e-9)
    assert got.nmi == pytest.approx(normalized_mutual_info_score(labels, groups), abs=1e-12)
    assert got.ari == pytest.approx(adjusted_rand_score(labels, groups), abs=1e-12)
    assert got.n_clusters == len(set(groups))


@given(st.permutations([-5, 0, 7, 2**40]), SEEDS)
def test_groups_that_are_the_labels_score_1_whatever_the_labels_are_called(names, seed):
    groups = [i % 4 for i in range(40)]
    got = clustering(around_axes(groups, np.random.default_rng(seed)), [names[group] for group in groups])
    assert got == Clustering(pytest.approx(1.0), pytest.approx(1.0), 4)


def test_labels_that_have_nothing_to_do_with_the_groups_score_about_0():
    rng = np.random.default_rng(0)
    groups, labels = rng.integers(0, 4, 2000).tolist(), rng.integers(0, 4, 2000)
    got = clustering(around_axes(groups, rng), labels)
    assert got.nmi == pytest.approx(0, abs=0.01)
    assert got.ari == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_clusters_are_those_of_the_best_of_ten_starts(seed):
    rng = np.random.default_rng(seed)
    vectors, labels = rng.normal(size=(200, 8)), rng.integers(0, 20, 200)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = KMeans(20, n_init=10, random_state=seed).fit_predict(directions)
    got = clustering(torch.tensor(vectors), labels, seed=seed)
    assert got.nmi == pytest.approx(normalized_mutual_info_score(labels, groups), abs=1e-12)
    assert got.ari == pytest.approx(adjusted_rand_score(labels, groups), abs=1e-12)


def test_the_seed_decides_where_k_means_starts():
    vectors = torch.tensor(np.random.default_rng(0).normal(size=(200, 8)))
    labels = [i % 20 for i in range(200)]
    first = clustering(vectors, labels, seed=1)
    assert clustering(vectors, labels, seed=1) == first
    assert clustering(vectors, labels, seed=2) != first


def test_an_encoder_that_maps_everything_to_one_point_forms_one_group():
    assert clustering(torch.ones(20, 4), [0, 1] * 10) == Clustering(0.0, 0.0, 1)
    assert clustering(torch.zeros(20, 4), [0, 1] * 10) == Clustering(0.0, 0.0, 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_precision_serves(dtype):
    vectors = torch.eye(3, dtype=dtype).repeat(5, 1).requires_grad_()
    assert clustering(vectors, [4, -1, 7] * 5) == Clustering(pytest.approx(1.0), pytest.approx(1.0), 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": torch.ones(0, 2)}, r"`embeddings` must not be empty\. Got shape \(0, 2\)\."),
        ({"labels": [1, 2]}, r"`labels` must have one entry per embedding, \(3,\)\. Got shape \(2,\)\."),
        ({"labels": [6, 6, 6]}, r"`labels` must hold at least 2 different labels\. Got 1\."),
        ({"n_clusters": 4}, r"`n_clusters` must lie between 1 and 3, the number of embeddings\. Got 4\."),
        ({"n_clusters": 0}, r"`n_clusters` must lie between 1 and 3, the number of embeddings\. Got 0\."),
        ({"seed": -1}, r"`seed` must lie between 0 and 2\^32 - 1\. Got -1\."),
        ({"seed": 2**32}, r"`seed` must lie between 0 and 2\^32 - 1\. Got 4294967296\."),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        clustering(**({"embeddings": torch.eye(3), "labels": [1, 2, 3]} | change))


def test_hdbscan_finds_groups_and_their_number_by_itself():
    rng = np.random.default_rng(0)
    truth = [0] * 20 + [1] * 30 + [2] * 25
    found = density_clustering(around_axes(truth, rng), truth)
    assert found == Clustering(nmi=pytest.approx(1), ari=pytest.approx(1), n_clusters=3, clustered=1.0)


@settings(max_examples=15)
@given(SEEDS)
def test_what_hdbscan_leaves_out_stands_alone(seed):
    """Against scikit-learn's own marks, with a group of its own for each one left out."""
    rng = np.random.default_rng(seed)
    vectors = torch.tensor(rng.normal(size=(40, 3)))
    truth = rng.integers(0, 3, 40)
    truth[:2] = 0, 1
    marks = HDBSCAN(min_cluster_size=4, copy=True).fit_predict((vectors / vectors.norm(dim=1, keepdim=True)).numpy())
    groups = [f"alone {i}" if mark < 0 else f"group {mark}" for i, mark in enumerate(marks)]
    found = density_clustering(vectors, truth, least=4)
    assert found.ari == pytest.approx(ari(groups, truth.tolist()), abs=1e-9)
    assert found.nmi == pytest.approx(normalized_mutual_info_score(groups, truth), abs=1e-9)
    assert found.clustered == pytest.approx((marks >= 0).mean())
    assert found.n_clusters == len({mark for mark in marks if mark >= 0})


def test_fewer_embeddings_than_the_smallest_cluster_all_stand_alone():
    found = density_clustering(torch.eye(3), [0, 1, 1])
    assert (found.ari, found.n_clusters, found.clustered) == (0.0, 0, 0.0)


def test_clusters_of_fewer_than_two_are_refused():
    with pytest.raises(ValueError, match=r"`least` must be at least 2\. Got 1"):
        density_clustering(torch.eye(3), [0, 1, 1], least=1)
