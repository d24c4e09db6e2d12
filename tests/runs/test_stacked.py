"""Rows that come in parts: the same as a concatenation, with less memory, and as many as were promised."""

import pytest
import torch

from tellapart.runs import stacked


def test_parts_become_one_tensor_in_their_order():
    whole = torch.randn(70, 3)
    assert torch.equal(stacked(iter(whole.split(16)), 70), whole)
    assert stacked(iter(torch.empty(0, 3).split(16)), 0).shape == (0, 3)


@pytest.mark.parametrize("n", [5, 7])
def test_another_number_of_rows_than_promised_is_an_error(n):
    with pytest.raises(ValueError, match=f"`parts` must have {n} rows in all. Got 6."):
        stacked(iter(torch.ones(6, 2).split(2)), n)


def test_no_part_is_an_error():
    with pytest.raises(ValueError, match="Got 0"):
        stacked(iter(()), 0)
