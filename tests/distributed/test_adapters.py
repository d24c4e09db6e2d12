"""The peers' flags of distributed training: all processes together are one process with all rows."""

import pytest
import torch

from tests.distributed import adapter_jobs as jobs

ROWS = [2, 2, 2, 2]  # the peers' mean is over each process's rows


@pytest.mark.parametrize("name", jobs.LOSSES)
def test_value_and_gradients_are_those_of_one_process(pool, name):
    answers, plain = pool.run(4, jobs.gathered, name, ROWS), jobs.gathered(None, name, ROWS)
    torch.testing.assert_close(torch.stack([x["mean of losses"] for x in answers]).mean(), plain["mean of losses"])
    for column in ("0", "1", "2"):
        torch.testing.assert_close(torch.cat([x[column] for x in answers]), plain[column])


def test_a_bank_gets_the_keys_of_all_processes(pool):
    plain = jobs.bank_of_all(None, ROWS)["mean of banks"]
    for answer in pool.run(4, jobs.bank_of_all, ROWS):
        torch.testing.assert_close(answer["mean of banks"], plain)
