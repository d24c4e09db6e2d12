"""Gathering rows, the self-test, and what becomes of a job when a process dies."""

import subprocess
import sys
import textwrap
import time

import pytest
import torch

from tests.distributed import gather_jobs


@pytest.mark.parametrize(("size", "rows"), [(2, [3, 1]), (3, [0, 2, 4]), (4, [1, 1, 1, 1])])
def test_gather_hands_everybodys_rows_to_all_in_order(pool, size, rows):
    for found in pool.run(size, gather_jobs.gathered, rows):
        assert found.tolist() == [[float(i)] * 2 for i in range(sum(rows))]


def test_15_the_gradient_of_a_gathered_row_is_the_sum_of_what_all_processes_ask(pool):
    """PEERS 15: a gather whose backward does not sum over processes."""
    rows = [2, 3]
    found = torch.cat(pool.run(2, gather_jobs.gradient_of_gathered, rows))
    # Process r weighs row i by (r + 1)(i + 1).
    assert found[:, 0].tolist() == [3.0 * (i + 1) for i in range(5)]


def test_the_gradient_that_gather_is_handed_is_left_as_it_is(pool):
    """Others may be using the same memory."""
    for found in pool.run(2, gather_jobs.gathered_and_kept):
        assert found.tolist() == [[6.0, 6.0]] * 2


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("dtype", "`rows` must have one width and dtype in all processes. Got [(2, 3, torch.float16), (2, 3, torch.bf"),
        ("dimensions", "`rows` must have one width and dtype in all processes"),
        ("gradient", "`rows` must need a gradient in all processes or in none. Got [False, True]"),
    ],
)
def test_rows_that_do_not_go_together_are_refused_everywhere(pool, how, message):
    for said in pool.run(2, gather_jobs.rows_that_differ, how):
        assert message in said


def test_sums_over_processes_do_not_depend_on_strides(pool):
    for found in pool.run(2, gather_jobs.sum_of_turned):
        assert found.tolist() == [[0.0, 2.0], [4.0, 6.0]]


@pytest.mark.parametrize("size", [2, 4])
def test_09_gathered_and_local_losses_give_the_gradient_of_the_whole_batch(pool, size):
    """PEERS 9: gradients off by the number of processes, or pointing elsewhere; the temperature's, too."""
    for verdict in pool.run(size, gather_jobs.verdict_on, "ours"):
        assert verdict.passed, str(verdict)
        assert len(verdict.lines) == 4


@pytest.mark.parametrize("how", ["constant keys", "times the processes"])
def test_09_the_self_test_finds_the_peers_mistakes(pool, how):
    for verdict in pool.run(2, gather_jobs.verdict_on, how):
        assert not verdict.passed
        assert "FAILED" in str(verdict)


def test_04_hard_negatives_behind_the_keys_never_become_targets(pool):
    """PEERS 4: labels from a rank offset; here rows carry ids, and the last batch may be smaller."""
    for verdict in pool.run(3, gather_jobs.verdict_on, "gathered by id"):
        assert verdict.passed, str(verdict)


def test_08_a_queue_is_the_same_on_every_process(pool):
    """PEERS 8: queues that differ between processes, with uneven batches and one that wraps."""
    first, *others = pool.run(3, gather_jobs.queue_after_uneven_batches)
    for other in others:
        assert torch.equal(first[0], other[0])
        assert torch.equal(first[1], other[1])
    assert sorted(first[1].tolist()) == [5, 6, 7, 8, 9, 10, 11]


SCRIPT = """
    import os, signal, time
    import torch
    import torch.distributed as dist
    from tellapart import info_nce
    from tellapart.distributed import world

    dist.init_process_group("gloo")
    q = torch.eye(4, requires_grad=True)
    for step in range(1000):
        if step == 3 and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        info_nce(q, torch.eye(4), group=world()).backward()
"""


def test_a_killed_process_ends_the_job_with_a_message(tmp_path):
    (tmp_path / "job.py").write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "job.py"]
    started = time.monotonic()
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert result.returncode != 0
    assert "SIGKILL" in result.stderr or "Signal 9" in result.stderr
    assert time.monotonic() - started < 90
