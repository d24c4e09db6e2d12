"""A run as a list of batches."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.training import Batches


@given(st.integers(8, 60), st.integers(2, 20), st.integers(1, 4), st.integers(0, 5))
def test_every_epoch_visits_every_row_once_in_batches_of_nearly_equal_size(n, size, devices, seed):
    batches = Batches(n, size, epochs=2, seed=seed)
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
