"""One pool of processes for all distributed tests of a worker."""

import pytest

from tests.distributed.pool import Pool


@pytest.fixture(scope="session")
def pool():
    processes = Pool()
    yield processes
    processes.close()


def pytest_collection_modifyitems(items):
    """Give all tests that need the pool to one worker: a second pool would take as long as most of them."""
    for item in items:
        if "pool" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("pool"))
