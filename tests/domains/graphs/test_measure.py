"""Link prediction against loops over all pairs of pairs, and probes over splits that can and cannot succeed."""

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.domains.graphs import Questions, link_auc, nodes, unlinked_pairs
from tellapart.evaluation import linear_probe, probe_over_splits

SEEDS = st.integers(0, 2**32 - 1)


def cosine(a, b):
    lengths = math.hypot(*a) * math.hypot(*b)
    return round(math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths, 9) if lengths else 0.0


@given(SEEDS, st.integers(1, 12), st.integers(1, 12))
def test_the_auc_is_the_share_of_pairs_that_are_ordered_rightly(seed, p, q):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (7, 2)).astype(float)  # few values, so that there are ties and zero vectors
    linked, unlinked = rng.integers(0, 7, (2, p)), rng.integers(0, 7, (2, q))
    won = 0.0
    for a, b in linked.T:
        for c, d in unlinked.T:
            above, below = cosine(x[a], x[b]), cosine(x[c], x[d])
            won += 1.0 if above > below else 0.5 if above == below else 0.0
    for embeddings in (torch.from_numpy(x), torch.from_numpy(x).to_sparse()):
        found = link_auc(embeddings, torch.from_numpy(linked), torch.from_numpy(unlinked))
        assert found == pytest.approx(won / (p * q))


def test_embeddings_that_collapsed_tell_no_link_from_another():
    x = torch.full((50, 8), 0.3)
    pairs = torch.randint(50, (2, 30))
    assert link_auc(x, pairs, pairs.flip(1)) == 0.5


def test_links_without_pairs_are_refused():
    with pytest.raises(ValueError, match=r"`unlinked` must have shape \(2, pairs\)"):
        link_auc(torch.eye(3), torch.tensor([[0], [1]]), torch.zeros(2, 0, dtype=torch.long))


@given(SEEDS, st.integers(2, 12), st.integers(0, 40))
def test_unlinked_pairs_are_of_two_nodes_that_no_edge_joins(seed, n, n_edges):
    edge_index = torch.from_numpy(np.random.default_rng(seed).integers(0, n, (2, n_edges)))
    joined = {frozenset(edge) for edge in edge_index.T.tolist()}
    drawn = [frozenset(pair) for pair in unlinked_pairs(edge_index, n, 500, seed % 1000).T.tolist()]
    assert all(len(pair) == 2 and pair not in joined for pair in drawn)
    free = {frozenset((a, b)) for a in range(n) for b in range(a)} - joined
    assert len(drawn) <= 500
    if len(free) * 4 > n * n / 2:  # most draws succeed
        assert set(drawn) == free


def test_as_many_unlinked_pairs_are_drawn_as_are_wanted():
    edge_index = torch.randint(1000, (2, 5000))
    assert unlinked_pairs(edge_index, 1000, 700, seed=0).shape == (2, 700)


def groups(n, spread, seed=0):
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=random)
    return torch.eye(3)[labels] + spread * torch.randn(n, 3, generator=random), labels


def test_labels_that_can_be_told_are_told_in_every_split_and_others_by_chance():
    x, labels = groups(400, 0.01)
    easy = probe_over_splits(x, labels)
    assert easy.accuracies == [1.0] * 20
    assert easy.deviation() == 0.0
    hard = probe_over_splits(torch.randn(400, 3), labels, n_splits=5)
    assert hard.mean() == pytest.approx(1 / 3, abs=0.07)
    assert len(set(hard.accuracies)) > 1


def test_every_model_is_asked_about_the_same_splits():
    x, labels = groups(300, 0.5)
    assert probe_over_splits(x, labels, n_splits=4) == probe_over_splits(3 * x, labels, n_splits=4)
    assert probe_over_splits(x, labels, n_splits=4, seed=1) != probe_over_splits(x, labels, n_splits=4)


def bags(n, n_rare, seed=0):
    """Bags of words: two are of ten that are the label's own, and four of many that are rare and say nothing."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    telling = 10 * labels[:, None] + torch.randint(10, (n, 2), generator=random)
    others = torch.randint(30, 30 + n_rare, (n, 4), generator=random)
    cells = torch.cat([telling, others], dim=1)
    return torch.zeros(n, 30 + n_rare).scatter(1, cells, 6**-0.5), labels


def test_rare_words_weigh_less_if_sparse_features_are_probed_as_they_are():
    x, labels = bags(600, n_rare=300)
    as_they_are, standardised = (probe_over_splits(each, labels, n_splits=3) for each in (x.to_sparse(), x))
    assert as_they_are.mean() > standardised.mean() + 0.05
    assert as_they_are.regularisation in sys.modules[probe_over_splits.__module__].SPARSE_STRENGTHS


def test_the_regularisation_is_the_one_that_does_best_when_validated():
    module = sys.modules[probe_over_splits.__module__]
    chosen = set()
    for spread in (0.02, 0.5, 1.5):
        x, labels = groups(200, spread)
        x = torch.cat([x, torch.randn(200, 60, generator=torch.Generator().manual_seed(1))], dim=1)

        def right(strength, x=x, labels=labels):
            total = 0
            for split in range(3):
                known, test, _ = module._split(200, 20, [0, split])
                predicted = linear_probe(x[known], labels[known], x[test], regularisation=strength).labels
                total += (predicted == labels[test]).sum().item()
            return total

        counts = {strength: right(strength) for strength in module.STRENGTHS}
        found = probe_over_splits(x, labels, n_splits=3).regularisation
        assert counts[found] == max(counts.values())
        assert found == max(strength for strength in counts if counts[strength] == counts[found])
        chosen.add(found)
    assert len(chosen) > 1


def test_a_split_whose_known_labels_are_all_the_same_predicts_these():
    labels = torch.tensor([0] * 10 + [1])
    found = probe_over_splits(torch.eye(11), labels, n_splits=40)
    assert all(0 <= accuracy <= 1 for accuracy in found.accuracies)
    assert max(found.accuracies) == 1.0  # where the other label is not in the test part


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n_splits": 0}, "`n_splits` must"), ({"share": 0.5}, "`share` must"), ({"share": 0.0}, "`share` must")],
)
def test_options_of_splits_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        probe_over_splits(torch.eye(8), [0, 1] * 4, **options)


def test_splits_of_too_few_are_refused():
    with pytest.raises(ValueError, match="`embeddings` must be at least 4"):
        probe_over_splits(torch.eye(3), [0, 1, 1])


def test_a_table_leaves_out_what_cannot_be_asked():
    x, labels = groups(40, 0.1)
    all_nodes, pairs, none = torch.arange(40), torch.randint(40, (2, 9)), torch.zeros(2, 0, dtype=torch.long)
    both = nodes({"x": (x, x)}, Questions(all_nodes, labels, pairs, pairs), "")
    assert both.header == ["", "linear probe", "±", "link AUC"]
    assert len(both.rows) == 2
    assert all(len(row) == 4 for row in both.rows)
    assert nodes({"x": (x, x)}, Questions(all_nodes, labels, pairs, none), "").header == ["", "linear probe", "±"]
    alike = Questions(all_nodes, torch.zeros(40, dtype=torch.long), pairs, pairs)
    assert nodes({"x": (x, x)}, alike, "").header == ["", "link AUC"]
    assert nodes({"x": (x, x)}, Questions(all_nodes[:5], labels[:5], pairs, pairs), "").header == ["", "link AUC"]
