"""Labels as people have them: of any integer type, and as many as there are embeddings."""

import numpy as np
import pytest
import torch

from tellapart.evaluation.labels import check_widths, integer_labels


def frozen_array(values):
    array = np.array(values)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "labels",
    [
        [3, -1, 3],
        (3, -1, 3),
        np.array([3, -1, 3], dtype=np.int8),
        frozen_array([3, -1, 3]),
        np.array([3, 0, -1, 0, 3])[::2],
        torch.tensor([3, -1, 3], dtype=torch.int16),
    ],
    ids=["list", "tuple", "int8", "read-only", "strided", "tensor"],
)
def test_integers_of_every_kind_are_labels(labels):
    got = integer_labels("labels", labels, 3)
    assert got.dtype == torch.int64
    assert got.tolist() == [3, -1, 3]


def test_truth_values_are_labels():
    assert integer_labels("labels", [True, False], 2).tolist() == [1, 0]
    assert integer_labels("labels", torch.tensor([True, False]), 2).tolist() == [1, 0]


@pytest.mark.parametrize("labels", [[0.0, 1.0], ["a", "b"], torch.tensor([0.0, 1.0]), np.array([None, 1])])
def test_what_is_no_integer_is_no_label(labels):
    with pytest.raises(TypeError, match=r"`labels` must hold integers\. Got "):
        integer_labels("labels", labels, 2)


@pytest.mark.parametrize("labels", [[0, 1], [], [[0, 1, 2]], torch.tensor(0)])
def test_there_is_one_label_per_embedding(labels):
    shape = tuple(torch.as_tensor(labels).shape)
    with pytest.raises(ValueError, match=r"`labels` must have one entry per embedding, \(3,\)\. Got shape ") as error:
        integer_labels("labels", labels, 3)
    assert str(shape) in str(error.value)


def test_too_few_different_labels_are_counted():
    with pytest.raises(ValueError, match=r"^`labels` must hold at least 2 different labels\. Got 1\.$"):
        integer_labels("labels", [4, 4, 4], 3, n_classes=2)


def test_the_two_sides_are_embeddings_of_one_width():
    with pytest.raises(ValueError, match=r"^`train` must not be empty\. Got shape \(0, 2\)\.$"):
        check_widths(torch.ones(0, 2), torch.ones(1, 2))
    with pytest.raises(ValueError, match=r"^`queries` must not be empty\. Got shape \(0, 2\)\.$"):
        check_widths(torch.ones(1, 2), torch.ones(0, 2))
    with pytest.raises(ValueError, match=r"^`queries` must have 2 columns, as `train` has\. Got 3\.$"):
        check_widths(torch.ones(1, 2), torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"^`train` must be finite\. Got nan in row 0\.$"):
        check_widths(torch.full((1, 2), float("nan")), torch.ones(1, 2))
    with pytest.raises(TypeError, match=r"^`queries` must be a floating-point tensor\. Got torch.int64\.$"):
        check_widths(torch.ones(1, 2), torch.ones(1, 2).long())
