"""The queue against a list of the last keys."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.negatives import KeyQueue


@given(st.integers(1, 12), st.lists(st.integers(1, 20), max_size=8))
def test_it_holds_exactly_the_last_keys_for_any_batch_sizes(size, batches):
    queue, history = KeyQueue(size, 2), []
    for batch in batches:
        ids = torch.arange(len(history), len(history) + batch)
        queue.push(torch.stack([ids, -ids], 1).float(), ids)
        history += ids.tolist()
    keys, ids = queue.read()
    assert sorted(ids.tolist()) == history[-size:]
    assert (keys == torch.stack([ids, -ids], 1)).all()
    assert len(queue) == min(size, len(history))


def test_it_is_saved_and_loaded_with_the_model_and_goes_on_where_it_was():
    queue = KeyQueue(5, 1)
    queue.push(torch.arange(7.0)[:, None], torch.arange(7))
    again = KeyQueue(5, 1)
    again.load_state_dict(queue.state_dict())
    for each in (queue, again):
        each.push(torch.tensor([[9.0]]), torch.tensor([9]))
    assert again.read()[1].tolist() == queue.read()[1].tolist()
    assert sorted(queue.read()[1].tolist()) == [3, 4, 5, 6, 9]


def test_keys_carry_no_gradient_and_reading_does_not_lend_the_slots():
    queue, keys = KeyQueue(3, 2), torch.ones(2, 2, requires_grad=True)
    queue.push(keys, torch.tensor([1, 2]))
    read, _ = queue.read()
    assert not read.requires_grad
    read.zero_()
    assert (queue.read()[0] == 1).all()


@pytest.mark.parametrize(
    ("error", "keys", "ids", "message"),
    [
        (ValueError, torch.ones(2, 3), torch.zeros(2).long(), "`keys` must have 2 columns. Got 3"),
        (ValueError, torch.ones(2, 2), torch.zeros(3).long(), r"`ids` must have one entry per key, \(2,\)"),
        (TypeError, torch.ones(2, 2), torch.zeros(2), "`ids` must hold integers. Got torch.float32"),
        (TypeError, torch.ones(2, 2).long(), torch.zeros(2).long(), "`keys` must be a floating-point tensor"),
        (ValueError, torch.full((2, 2), torch.nan), torch.zeros(2).long(), "`keys` must be finite. Got nan in row 0"),
    ],
)
def test_a_wrong_push_is_named_and_changes_nothing(error, keys, ids, message):
    queue = KeyQueue(4, 2)
    with pytest.raises(error, match=message):
        queue.push(keys, ids)
    assert len(queue) == 0


def test_room_for_nobody_is_refused():
    with pytest.raises(ValueError, match="`size` must be at least 1"):
        KeyQueue(0, 2)
