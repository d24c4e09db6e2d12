"""Missing ids, and the pairs of relations that are few only together."""

import decimal

import numpy as np
import pytest
import torch

from tellapart import edges, info_nce, paired, same, within
from tellapart.relations import but_not
from tellapart.relations.ids import Missing, is_missing

NAN = float("nan")


class NAType:
    """What pandas has for an unknown value: whether it equals anything is unknown, too."""

    def __ne__(self, other):
        return self

    __hash__ = object.__hash__

    def __bool__(self):
        raise TypeError("unknown")


def matrix(relation, n, m):
    return relation.tile(slice(0, n), slice(0, m)).int().tolist()


@pytest.mark.parametrize(
    "ids",
    [
        [None, None, "a"],
        [np.nan, np.nan, 1.0],
        [NAN, float("nan"), "a"],
        [decimal.Decimal("NaN"), None, "a"],
        np.array([None, np.nan, "a"], dtype=object),
        np.array(["NaT", "NaT", "2026-01-01"], dtype="datetime64[D]"),
        [NAType(), NAType(), "a"],
    ],
)
def test_a_missing_id_equals_itself_alone_and_that_of_no_other_row(ids):
    assert matrix(same(ids), 3, 3) == torch.eye(3).int().tolist()
    assert matrix(same(ids, ids[:]), 3, 3) == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert same(ids).counts(3, 3)[0].tolist() == [1, 1, 1]


def test_what_is_known_is_not_missing():
    assert not any(map(is_missing, (0, "", False, (), (None, 1), "nan", np.inf)))
    assert matrix(same([(None, 1), (None, 1)]), 2, 2) == [[1, 1], [1, 1]]


def test_missing_ids_of_two_processes_are_not_the_same():
    class Ranks:
        rank, size = 0, 2

        def gather(self, values):
            return [values, values]

        def gather_names(self, names):
            return [names, [Missing() if isinstance(x, Missing) else x for x in names]]  # as pickled and read again

    own, others = same([None, "a"]).towards(Ranks())
    assert (matrix(own, 2, 2), matrix(others, 2, 2)) == ([[1, 0], [0, 1]], [[0, 0], [0, 1]])


def scattered(n=600):
    rng = torch.Generator().manual_seed(0)
    group = torch.randint(3, (n,), generator=rng)
    time, place = torch.rand(n, generator=rng) * 20, torch.rand(n, 2, generator=rng).double() * 20
    return same(group), within(time, None, 3.0), within(place, None, 3.0)


def test_relations_that_are_few_only_together_are_listed():
    group, near, around = scattered()
    assert all(part.pairs(600, 600) is None for part in (group, near))
    for relation in (group & near & around, around & (near & group), group & near & around & ~paired()):
        pairs = relation.pairs(600, 600)
        assert pairs is not None
        found = torch.zeros(600, 600, dtype=torch.bool)
        found[pairs.rows, pairs.cols] = True
        assert (found == relation.tile(slice(0, 600), slice(0, 600))).all()
        assert len(pairs.rows) == found.sum()
        assert (pairs.rows.diff() >= 0).all()


def test_the_loss_of_meeting_relations_is_that_of_their_edges():
    relation = but_not(scattered()[0] & scattered()[1] & scattered()[2], paired())
    places = relation.tile(slice(0, 600), slice(0, 600)).nonzero().T
    x = torch.randn(600, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    losses = [info_nce(x, x, positives=r, exclude=paired(), engine="tiled") for r in (relation, edges(places))]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss, x)[0] for loss in losses))


@pytest.mark.parametrize("radius", [0.0, 1e-310])
def test_a_radius_that_cannot_be_a_unit_is_read_in_tiles(radius):
    times = torch.zeros(40)
    assert (within(times, None, radius) & same([0] * 40)).pairs(40, 40) is None


def test_relations_of_more_axes_than_boxes_have_are_found_by_some_of_them():
    group, near, around = scattered()
    relation = group & near & around & within(torch.rand(600, 3), None, 2.0)
    pairs = relation.pairs(600, 600)
    assert pairs is not None
    assert len(pairs.rows) == relation.tile(slice(0, 600), slice(0, 600)).sum()
