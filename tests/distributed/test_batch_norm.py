"""Batch norm over all processes, and the leak it closes."""

import pytest
import torch

from tests.distributed import norm_jobs

pytestmark = pytest.mark.xdist_group("processes")


@pytest.mark.parametrize(("size", "rows"), [(2, [3, 5]), (3, [4, 0, 2]), (4, [2, 2, 2, 2])])
@pytest.mark.parametrize("shape", [(24,), (4, 6)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_output_gradients_and_statistics_are_those_of_one_process(pool, size, rows, shape, momentum):
    answers = pool.run(size, norm_jobs.normalised, shape, rows, momentum)
    for name, value in norm_jobs.normalised(None, shape, rows, momentum).items():
        found = [answer[name] for answer in answers]
        whole = torch.stack(found).mean(0) if name.startswith("mean of") else torch.cat(found)
        torch.testing.assert_close(whole, value, rtol=1e-12, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


def test_plain_batch_norm_leaks_between_processes_and_that_over_all_does_not(pool):
    plain, *_ = pool.run(2, norm_jobs.leak_after_training, False)
    shared, *_ = pool.run(2, norm_jobs.leak_after_training, True)
    assert plain.moved > 0.1
    assert shared.moved < 1e-5
