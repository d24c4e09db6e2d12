"""What the log says of a step's time."""

import time

import pytest

from tellapart.training import spent, timed
from tests.command_line import read_log


@pytest.fixture(autouse=True)
def emptied():
    spent()
    yield
    spent()


def test_blocks_of_one_part_add_up_until_they_are_asked_for():
    for part in ("views", "data", "views"):
        with timed(part):
            time.sleep(0.002)
    seconds = spent()
    assert set(seconds) == {"views", "data"}
    assert seconds["views"] >= 0.004
    assert seconds["data"] >= 0.002
    assert spent() == {}


def test_what_a_block_alone_takes_is_counted_to_no_part_inside():
    with timed("views"):
        time.sleep(0.002)
    with timed("validation", alone=True), timed("views"), timed("panel"):
        time.sleep(0.05)
    seconds = spent()
    assert set(seconds) == {"views", "validation"}
    assert seconds["validation"] >= 0.05 > seconds["views"]


def test_a_block_that_fails_is_counted_and_fails():
    with pytest.raises(KeyError), timed("views"):
        raise KeyError
    assert set(spent()) == {"views"}


def test_the_log_says_what_data_and_views_cost_and_both_lie_within_the_step(learned):
    entries = read_log(learned)
    for entry in entries:
        assert entry["seconds_data"] > 0
        assert entry["seconds_views"] > 0
        assert entry["seconds_data"] + entry["seconds_views"] <= entry["seconds"]
