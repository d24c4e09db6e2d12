"""Rows divided among processes against all rows in one, in float64: terms, losses and every gradient."""

import pytest
import torch

from tests._engine.kernels.triton_here import needs_triton
from tests.distributed import jobs

# Uneven, one process without any rows, and even.
DIVISIONS = {2: ([3, 5], [0, 4]), 3: ([2, 2, 2], [4, 0, 1]), 4: ([1, 2, 3, 2],)}


def assert_as_one_process(pool, size, job, *arguments):
    """What processes say of their rows, one after another, is what one process says of all rows."""
    for rows in DIVISIONS[size]:
        answers = pool.run(size, job, *arguments, rows)
        for name, value in job(None, *arguments, rows).items():
            found = [answer[name] for answer in answers]
            whole = torch.stack(found).mean(0) if name.startswith("mean of") else torch.cat(found)
            close = 1e-12 if value.dtype == torch.float64 else 1e-6  # shares of counts are float32
            torch.testing.assert_close(whole, value, rtol=close, atol=close, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("case", jobs.CASES)
def test_terms_losses_and_gradients_are_those_of_one_process(pool, case, size):
    assert_as_one_process(pool, size, jobs.terms_and_gradients, case)


@pytest.mark.parametrize(
    "case", [case for case in jobs.CASES if case not in ("soft", "near or linked", "alike and guided")]
)
def test_as_many_negatives_push_as_in_one_process(pool, case):
    """Of the cases left out, some queries have no negative."""
    assert_as_one_process(pool, 3, jobs.number_of_negatives, case)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("views", [2, 3])
def test_nt_xent_is_that_of_one_process(pool, views, size):
    assert_as_one_process(pool, size, jobs.nt_xent_of_views, views)


@pytest.mark.parametrize("size", [2, 4])
def test_further_negatives_stand_in_the_line_ups_of_their_own_process(pool, size):
    """A queue that is the same everywhere counts once."""
    assert_as_one_process(pool, size, jobs.with_a_queue)


@pytest.mark.parametrize("learning", ["queries", "keys", "neither"])
def test_only_embeddings_that_need_a_gradient_get_one(pool, learning):
    assert_as_one_process(pool, 2, jobs.only_one_side, learning)


def test_a_process_without_weighed_pairs_goes_the_way_of_the_others(pool):
    assert_as_one_process(pool, 2, jobs.weighed_pairs_in_the_first)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("score", ["cosine", "sqeuclidean"])
def test_half_precision_is_summed_in_float32(pool, dtype, score):
    """Far from the origin, where sums of keys overflow in half."""
    for found in pool.run(2, jobs.in_half, dtype, score):
        torch.testing.assert_close(found["loss"], found["expected"], rtol=2e-2, atol=2e-2)
        assert found["dtype"] == dtype


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_blocks_of_a_ring_are_computed_by_the_kernels_that_were_asked_for(pool, dtype):
    rows = [3, 5]
    answers = pool.run(2, jobs.by_triton, dtype, rows)
    for name, value in jobs.by_triton(None, dtype, rows).items():
        found = [answer[name] for answer in answers]
        whole = torch.stack(found).mean(0) if name.startswith("mean of") else torch.cat(found)
        assert (whole - value).norm() <= (4e-3 if dtype == torch.bfloat16 and whole.ndim else 1e-5) * value.norm()


def test_several_backward_passes_add_up(pool):
    for once, twice in pool.run(2, jobs.backward_twice):
        torch.testing.assert_close(twice, 2 * once, rtol=0, atol=0)


def test_a_group_need_not_begin_with_the_first_process(pool):
    rows = [2, 3]
    answers = pool.run(4, jobs.in_the_last_two, rows)[2:]
    for name, value in jobs.nt_xent_of_views(None, 2, rows).items():
        found = [answer[name] for answer in answers]
        whole = torch.stack(found).mean(0) if name.startswith("mean of") else torch.cat(found)
        torch.testing.assert_close(whole, value, rtol=1e-12, atol=1e-12)


def test_large_scores_neither_overflow_nor_lose_their_gradient(pool):
    assert_as_one_process(pool, 3, jobs.large_scores)


def test_a_mistake_in_one_process_is_one_in_all_and_nobody_waits(pool):
    said = pool.run(3, jobs.with_a_nan_in_the_second)
    assert "`queries` must be finite. Got nan in row 0" in said[1]
    assert all("process 1 of 3: `queries` must be finite" in said[rank] for rank in (0, 2))


def test_shards_that_do_not_fit_together_are_refused_everywhere(pool):
    for said in pool.run(2, jobs.with_another_width):
        assert said == "`width of the embeddings` must be the same in all processes of a group. Got [3.0, 4.0]."


@pytest.mark.parametrize(
    ("different", "what"),
    [
        ({"symmetric": True}, "symmetric"),
        ({"multi_positive": "in"}, "multi_positive 'in'"),
        ({"margin": 0.1}, "presence of a margin"),
        ({"exclude": "paired"}, "presence of exclude"),
        ({"keys need": "a gradient"}, "requires_grad of the keys"),
        ({"engine": "dense"}, "process 1 of 2: `engine` must be 'auto' in a group"),
        ({"reduction": "avg"}, "process 1 of 2: `reduction` must be one of"),
        ({"score": "euclid"}, "process 1 of 2: `score` must be one of"),
        ({"views": "differ"}, "process 1 of 2: `views` must all have the same shape"),
    ],
)
def test_processes_that_were_asked_differently_are_told_and_do_not_wait(pool, different, what):
    first, second = pool.run(2, jobs.asked_differently, different)
    assert what in first
    assert what.removeprefix("process 1 of 2: ") in second


def test_without_a_positive_anywhere_it_is_an_error_and_with_one_somewhere_it_is_not(pool):
    for said in pool.run(2, jobs.without_positives, False):
        assert "`positives` must relate at least one query to a key" in said
    assert all(said == "fine" for said in pool.run(2, jobs.without_positives, True))


def test_a_relation_that_cannot_tell_of_other_processes_is_refused(pool):
    for said in pool.run(2, jobs.with_a_relation_of_its_own):
        assert "`relation` must be made of paired" in said


def test_another_engine_is_refused(pool):
    for said in pool.run(2, jobs.with_the_dense_engine):
        assert "`engine` must be 'auto' in a group" in said


def test_a_second_derivative_is_a_clear_error(pool):
    for said in pool.run(2, jobs.differentiated_twice):
        assert "once_differentiable" in said


def test_no_process_holds_more_than_its_queries_and_two_shards(pool):
    """Not one tensor as long as all keys, and no matrix of scores."""
    for largest in pool.run(4, jobs.largest_tensor):
        assert largest <= 80 * (8 + 2)  # a shard of keys, with the two sums that travel with each
