"""Systems on several devices: the first step is that of one device with all rows.

Clip in evaluation mode, for its batch norms see the rows of their own device.
"""

import pytest
import torch

from tests.distributed import system_jobs


def assert_as_one(pool, size, job, rows, *arguments):
    answers, alone = pool.run(size, job, rows, *arguments), job(None, rows, *arguments)
    assert all(answer["processes"] == size for answer in answers)
    assert alone["mean of losses"] > 0
    compared = [name for name in alone if name.startswith("mean of")]
    assert len(compared) > 3
    for name in compared:
        found = torch.stack([answer[name].double() for answer in answers]).mean(0)
        torch.testing.assert_close(found, alone[name].double(), rtol=1e-6, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
    return answers, alone


@pytest.mark.parametrize(("size", "rows"), [(2, [6, 6]), (3, [5, 4, 4])])
def test_clips_texts_and_pictures_find_each_other_across_devices(pool, size, rows):
    answers, alone = assert_as_one(pool, size, system_jobs.clips, rows)
    assert torch.equal(torch.cat([answer["candidates"] for answer in answers]), alone["candidates"])
    assert set(alone["candidates"].tolist()) == {sum(rows)}


@pytest.mark.parametrize(("size", "rows"), [(2, [4, 4]), (3, [3, 2, 3])])
def test_simclrs_line_up_spans_the_devices(pool, size, rows):
    answers, _ = assert_as_one(pool, size, system_jobs.simclrs, rows)
    assert all(set(answer["candidates"].tolist()) == {3 * sum(rows) - 1} for answer in answers)


@pytest.mark.parametrize(("size", "rows"), [(2, [6, 6]), (3, [5, 4, 4])])
def test_sounds_and_pictures_find_each_other_across_devices_and_the_clocks_are_those_of_one(pool, size, rows):
    answers, alone = assert_as_one(pool, size, system_jobs.audiovisuals, rows)
    assert set(alone["candidates"].tolist()) == {sum(rows)}
    assert alone["mean of offsets"].abs().min() > 0
    assert all(torch.equal(answer["mean of offsets"], answers[0]["mean of offsets"]) for answer in answers)


@pytest.mark.parametrize(("size", "rows"), [(2, [5, 5]), (3, [4, 3, 4])])
def test_reads_find_their_neighbours_on_other_devices(pool, size, rows):
    answers, _ = assert_as_one(pool, size, system_jobs.genomes, rows)
    assert all(set(answer["candidates"].tolist()) == {sum(rows) - 1} for answer in answers)


@pytest.mark.parametrize(("size", "rows"), [(2, [6, 6]), (3, [5, 4, 4])])
def test_sentences_find_translations_across_devices(pool, size, rows):
    _, alone = assert_as_one(pool, size, system_jobs.sentences, rows)
    assert set(alone["candidates"].tolist()) == {sum(rows)}


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("size", "rows"), [(2, [4, 4]), (3, [3, 2, 2])])
def test_mocos_queue_is_one_on_all_devices(pool, size, rows, symmetric):
    """PEERS 8: queues that differ between processes."""
    answers, alone = assert_as_one(pool, size, system_jobs.mocos, rows, symmetric)
    for answer in answers:
        assert torch.equal(answer["queue's ids"], answers[0]["queue's ids"])
        assert torch.equal(answer["sum of the queue's keys"], answers[0]["sum of the queue's keys"])
    if len(alone["queue's ids"]) >= 2 * sum(rows) * (1 + symmetric):  # nothing was replaced, in whatever order
        torch.testing.assert_close(answers[0]["sum of the queue's keys"], alone["sum of the queue's keys"])
        assert torch.equal(answers[0]["queue's ids"], alone["queue's ids"])
