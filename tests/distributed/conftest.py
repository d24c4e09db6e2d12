"""One pool of processes for all distributed tests, which one worker runs (`tests/schedule.py`)."""

import pytest

from tests.distributed.pool import Pool


@pytest.fixture(scope="session")
def pool():
    processes = Pool()
    yield processes
    processes.close()
