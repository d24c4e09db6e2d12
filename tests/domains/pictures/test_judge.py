"""A judge of pictures: taught by labels or by views, the same one each time."""

import pytest
import torch

from tellapart.domains.pictures import PictureSet, judge, train_judge
from tests.tiny.pictures import patterns


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(judge, "_STEPS", 30)


def sets(labels):
    """Pictures of `patterns` to train on and held out; `labels` makes labels of those, or there are none."""
    made = []
    for seed in (0, 1):
        pictures, numbers = patterns(n=96, seed=seed)
        given = None if labels is None else torch.tensor(labels(numbers))
        shown = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
        made.append(PictureSet(shown, given, None, [str(i) for i in range(96)]))
    return made


def test_it_learns_labels_whatever_their_numbers():
    training, test = sets(lambda numbers: 1000 * numbers - 7)
    found = train_judge(training, test, seed=0)
    assert found.n_classes == 3
    assert found.accuracy > 0.8
    assert test.labels is not None
    right = found.classes(test.pictures) == (test.labels + 7) // 1000
    assert right.float().mean().item() == pytest.approx(found.accuracy)


@pytest.mark.parametrize("labels", [None, lambda numbers: numbers])
def test_it_is_the_same_each_time_and_takes_none_of_the_programs_random_numbers(labels):
    training, test = sets(labels)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, again = (train_judge(training, test, seed=0).features(test.pictures) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one, again)


def test_without_labels_it_learns_to_tell_views_apart():
    training, test = sets(None)
    found = train_judge(training, test, seed=0)
    assert (found.n_classes, found.accuracy) == (None, None)
    assert found.features(test.pictures).shape == (96, 64)
