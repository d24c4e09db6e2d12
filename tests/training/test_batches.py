"""A run as a list of batches."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.training import Batches


@given(
    *(st.integers(8, 60), st.integers(2, 20), st.integers(1, 4), st.integers(0, 5)),
    st.sampled_from(["at random", "by length", "in blocks"]),
)
def test_every_epoch_visits_every_row_once_in_batches_of_nearly_equal_size(n, size, devices, seed, how):
    lengths = np.random.default_rng(seed).integers(1, 500, n) if how == "by length" else None
    batches = Batches(n, size, epochs=2, seed=seed, lengths=lengths, blocks=how == "in blocks")
    per_epoch = batches.steps_per_epoch(devices)
    for epoch in range(2):
        parts = [
            batches.rows(epoch * per_epoch + step, device, devices)
            for step in range(per_epoch)
            for device in range(devices)
        ]
        assert sorted(torch.cat(parts).tolist()) == list(range(n))
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 2
        assert max(sizes) <= max(size, 3)


def test_a_batch_depends_on_seed_and_step_alone():
    a, b = Batches(50, 8, 3, seed=1), Batches(50, 8, 3, seed=1)
    late_first = b.rows(15, 0, 1)
    assert all(torch.equal(a.rows(step, 0, 1), b.rows(step, 0, 1)) for step in range(a.n_steps(1)))
    assert torch.equal(late_first, a.rows(15, 0, 1))
    assert not torch.equal(a.rows(0, 0, 1), Batches(50, 8, 3, seed=2).rows(0, 0, 1))
    assert not torch.equal(a.rows(0, 0, 1), a.rows(a.steps_per_epoch(1), 0, 1))


@given(st.integers(2, 12), st.integers(1, 3), st.integers(0, 5))
def test_the_rows_of_a_step_are_of_similar_lengths_on_all_devices(n_steps, devices, seed):
    """Groups of lengths, each twice as long as the one before it."""
    per_step = 6 * devices
    lengths = np.random.default_rng(seed).permutation(np.repeat(2 ** np.arange(n_steps), per_step))
    batches = Batches(len(lengths), 6, epochs=3, seed=seed, lengths=lengths)
    taken = [[set(lengths[batches.rows(step, d, devices)]) for d in range(devices)] for step in range(3 * n_steps)]
    assert all(len(set.union(*step)) == 1 for step in taken)
    orders = [[step[0] for step in taken[i : i + n_steps]] for i in range(0, 3 * n_steps, n_steps)]
    assert n_steps < 6 or orders[0] != orders[1] != orders[2]  # not always the shortest first


def test_rows_of_similar_lengths_do_not_meet_in_every_epoch():
    lengths = np.random.default_rng(0).integers(100, 120, 40)
    batches = Batches(40, 10, epochs=2, seed=0, lengths=lengths)
    first, second = ({frozenset(batches.rows(4 * epoch + i, 0, 1).tolist()) for i in range(4)} for epoch in range(2))
    assert not first & second


@given(st.integers(8, 60), st.integers(2, 20), st.integers(1, 3), st.integers(0, 5))
def test_rows_of_a_block_are_neighbours(n, size, devices, seed):
    batches = Batches(n, size, epochs=2, seed=seed, blocks=True)
    for step in range(batches.n_steps(devices)):
        rows = torch.cat([batches.rows(step, device, devices) for device in range(devices)])
        assert ((rows[1:] - rows[:-1]) % n == 1).all()  # the first row follows the last


def test_blocks_begin_elsewhere_and_come_in_another_order_in_every_epoch():
    batches = Batches(100, 10, epochs=3, seed=0, blocks=True)
    begins = [[batches.rows(10 * epoch + step, 0, 1)[0].item() for step in range(10)] for epoch in range(3)]
    assert len({frozenset(epoch) for epoch in begins}) == 3
    assert all(epoch != sorted(epoch) for epoch in begins)
