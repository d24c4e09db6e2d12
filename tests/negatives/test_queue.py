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


def test_what_is_replaced_is_all_of_it_and_pushing_goes_on_behind():
    queue = KeyQueue(3, 1)
    queue.push(torch.ones(5, 1), torch.arange(5))
    queue.replace(torch.tensor([[2.0], [3.0]]), torch.tensor([7, 8]))
    assert [x.flatten().tolist() for x in queue.read()] == [[2.0, 3.0], [7, 8]]
    queue.push(torch.tensor([[4.0], [5.0]]), torch.tensor([9, 10]))
    assert [x.flatten().tolist() for x in queue.read()] == [[5.0, 3.0, 4.0], [10, 8, 9]]


@pytest.mark.parametrize(
    ("n", "dim", "message"), [(4, 1, "`keys` must be at most 3"), (2, 2, "`keys` must have 1 columns")]
)
def test_a_wrong_replacement_changes_nothing(n, dim, message):
    queue = KeyQueue(3, 1)
    queue.push(torch.ones(2, 1), torch.arange(2))
    with pytest.raises(ValueError, match=message):
        queue.replace(torch.zeros(n, dim), torch.arange(n))
    assert queue.read()[0].flatten().tolist() == [1.0, 1.0]


def test_room_for_nobody_is_refused():
    with pytest.raises(ValueError, match="`size` must be at least 1"):
        KeyQueue(0, 2)
