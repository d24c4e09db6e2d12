"""Each row has one client; α and the number of classes decide how alike clients are."""

import numpy as np
import pytest
import torch

from tellapart import InputError
from tellapart.federation import by_classes, by_dirichlet, evenly

LABELS = torch.arange(1000) % 10


def shares(rows):
    """Of each client, the shares of the classes."""
    counts = np.array([np.bincount(LABELS[part].numpy(), minlength=10) for part in rows])
    return counts / counts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "split",
    [
        lambda seed: evenly(1000, 7, seed),
        lambda seed: by_dirichlet(LABELS, 7, 0.5, seed),
        lambda seed: by_classes(LABELS, 7, 3, seed),
    ],
)
def test_every_row_has_exactly_one_client_and_the_seed_decides_which(split):
    rows = split(0)
    assert len(rows) == 7
    assert sorted(torch.cat(rows).tolist()) == list(range(1000))
    assert all(torch.equal(a, b) for a, b in zip(rows, split(0), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(rows, split(1), strict=True))


def test_a_small_alpha_makes_clients_of_few_classes_a_large_one_makes_them_alike():
    few, alike = (shares(by_dirichlet(LABELS, 5, alpha, 0)) for alpha in (0.1, 1000.0))
    assert few.max(axis=1).mean() > 0.3
    assert np.abs(alike - 0.1).max() < 0.03


def test_a_client_has_so_many_classes_and_each_class_has_a_client():
    rows = by_classes(LABELS, 5, 2, 0)
    found = shares(rows) > 0
    assert (found.sum(axis=1) == 2).all()
    assert found.any(axis=0).all()


@pytest.mark.parametrize("per_client", [1, 11])
def test_classes_that_no_client_would_have_or_that_there_are_not_are_refused(per_client):
    with pytest.raises(InputError, match="`classes_per_client` must lie between 2 and 10"):
        by_classes(LABELS, 5, per_client, 0)


def test_a_client_with_a_single_picture_is_refused_by_its_number():
    with pytest.raises(InputError, match="client 0 would have 1 pictures"):
        evenly(3, 3, 0)
    with pytest.raises(InputError, match=r"client \d+ would have"):
        by_dirichlet(LABELS[:40], 30, 0.01, 0)
