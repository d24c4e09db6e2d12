"""Tasks in parallel: the order of sums, failures, and what is left behind."""

import multiprocessing
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import Relation, info_nce, paired
from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels import pool
from tellapart._engine.kernels.grid import Grid, Tiling
from tests.engines import threads


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(5, 9)), max_size=40), st.integers(1, 5))
def test_every_accumulator_sees_its_tasks_in_the_order_of_the_list(tasks, n_threads):
    seen = {accumulator: [] for accumulator in range(10)}

    def work(number, _):
        for accumulator in tasks[number]:
            seen[accumulator].append(number)

    with threads(n_threads):
        pool.run(range(len(tasks)), lambda number: tasks[number], work, lambda: None)
    for accumulator, numbers in seen.items():
        assert numbers == [number for number, task in enumerate(tasks) if accumulator in task]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 20), st.booleans())
def test_the_tiles_cover_every_score_once_and_those_of_a_symmetric_matrix_one_half(n, m, more, mirrored):
    m, more = (n, 0) if mirrored else (m, more)
    candidates = Candidates(n, m, m + more, mirrored=mirrored)
    covered = torch.zeros(n, m + more)
    for tile in Grid(candidates, torch.device("cpu"), Tiling(height=4, width=5)).tiles():
        covered[tile.rows, tile.cols] += 1
        assert tile.is_keys == (tile.cols.start < m) == (tile.cols.stop <= m)
        if tile.mirrored:
            covered[tile.cols, tile.rows] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("n", range(1, 12))
def test_the_tiles_of_one_round_share_no_band(n):
    """Then as many threads as there are tiles in a round have work."""
    grid = Grid(Candidates(n, n, n, mirrored=True), torch.device("cpu"), Tiling(height=1, width=1))
    pairs = [tile.block for tile in grid.tiles() if tile.mirrored]
    size = max(1, n // 2)
    for start in range(0, len(pairs), size):
        bands = [band for pair in pairs[start : start + size] for band in pair]
        assert len(set(bands)) == len(bands)


def test_what_a_task_raises_reaches_the_caller_and_no_further_task_begins():
    begun = []

    def work(number, _):
        begun.append(number)
        if number == 3:
            raise ValueError("three")

    with threads(2), pytest.raises(ValueError, match="three"):
        pool.run(range(100), lambda _: (0,), work, lambda: None)
    assert begun == [0, 1, 2, 3]


def test_of_independent_tasks_none_begins_after_a_failure_and_scratch_may_fail_too():
    begun = []

    def work(number, _):
        begun.append(number)
        raise ValueError("first")

    def no_scratch():
        raise MemoryError("full")

    with threads(2):
        with pytest.raises(ValueError, match="first"):
            pool.run(range(100), lambda number: (number,), work, lambda: None)
        with pytest.raises(MemoryError, match="full"):
            pool.run(range(100), lambda number: (number,), work, no_scratch)
    assert len(begun) <= 2


def test_if_a_band_of_a_fused_pass_fails_its_error_reaches_the_caller():
    class Broken(Relation):
        def at(self, rows, cols):
            if rows.numel() and int(rows.min()) > 300:
                raise ValueError("broken relation")
            return rows == cols

        def check(self, parameter, n_queries, n_keys):
            pass

    x = torch.randn(1200, 4, requires_grad=True)
    with threads(3), pytest.raises(ValueError, match="broken relation"):
        info_nce(x, x + 1, positives=paired(), exclude=Broken() & ~paired(), engine="tiled")


def number_of_threads_elsewhere():
    """What torch says in a thread that begins now."""
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_no_thread_is_left_and_torch_has_as_many_threads_as_before():
    before = set(threading.enumerate())
    for n_threads in (1, 2, 4):
        with threads(n_threads):
            pool.run(range(8), lambda number: (number,), lambda *_: torch.ones(2) + 1, lambda: None)
            assert set(threading.enumerate()) <= before
            assert torch.get_num_threads() == number_of_threads_elsewhere() == n_threads


def test_each_task_has_operations_of_one_thread():
    found = []
    with threads(3):
        pool.run(range(6), lambda number: (number,), lambda *_: found.append(torch.get_num_threads()), lambda: None)
    assert found == [1] * 6


def _loss(queue):
    torch.set_num_threads(1)  # as in a data loader's worker: torch's own threads do not survive a fork
    x = torch.linspace(0, 1, 1200 * 8).view(1200, 8).sin()
    queue.put(info_nce(x, x.flip(0), engine="tiled").item())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_may_fork_after_a_loss():
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with threads(2):
        x = torch.linspace(0, 1, 1200 * 8).view(1200, 8).sin()
        expected = info_nce(x, x.flip(0), engine="tiled").item()
        child = context.Process(target=_loss, args=(answers,))
        child.start()
        child.join(60)
        assert child.exitcode == 0
    assert answers.get() == expected
