"""One pool of processes for all distributed tests of a worker."""

import pytest

from tests.distributed.pool import Pool


@pytest.fixture(scope="session")
def pool():
    processes = Pool()
    yield processes
    processes.close()
