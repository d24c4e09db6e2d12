"""The AUC of a membership attack is that of scikit-learn, class by class."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from tellapart.evaluation import membership


def nearest(shared, vectors):
    return torch.nn.functional.cosine_similarity(vectors[:, None], shared[None], dim=2).amax(dim=1)


def test_it_is_the_auc_of_the_greatest_cosine_averaged_over_classes():
    torch.manual_seed(0)
    shared, inside, outside = torch.randn(20, 4), torch.randn(50, 4), torch.randn(70, 4)
    ours, theirs = torch.arange(50) % 3, torch.arange(70) % 2  # nothing of class 2 is held out
    expected = []
    for label in (0, 1):
        a, b = nearest(shared, inside[ours == label]), nearest(shared, outside[theirs == label])
        truth = torch.cat([torch.ones(len(a)), torch.zeros(len(b))])
        expected += [roc_auc_score(truth, torch.cat([a, b]))] * len(a)
    found = membership(shared, inside, outside, ours, theirs)
    assert found == pytest.approx(sum(expected) / len(expected), abs=1e-9)


def test_members_whose_own_keys_are_shared_are_found_and_ties_are_guesses():
    torch.manual_seed(0)
    inside, outside = torch.randn(30, 8), torch.randn(30, 8)
    assert membership(inside, inside, outside) == 1
    assert membership(inside, inside, inside) == 0.5
    assert membership(outside, inside, outside) == 0


def test_classes_without_others_are_refused():
    one = torch.eye(2)
    with pytest.raises(ValueError, match="`outside_labels` must share a class"):
        membership(one, one, one, torch.tensor([0, 0]), torch.tensor([1, 1]))
