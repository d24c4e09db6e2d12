"""A killed run of pictures without texts, continued, ends as one never killed: weights, queue and slow network."""

import pytest
from safetensors.torch import load_file

from tests.killed import whole_and_killed
from tests.tiny.pictures import picture_arguments, write_patterns
from tests.training.test_resume import assert_same_end, without_times


@pytest.mark.parametrize("system", ["simclr", "moco"])
def test_a_killed_run_that_is_resumed_ends_in_the_same_weights(tmp_path, system):
    words = picture_arguments(system, data=write_patterns(tmp_path), **{"epochs": 8, "trainer.checkpoint_every": 7})
    whole, killed = whole_and_killed(tmp_path, system, words, step=24)
    assert_same_end(killed, whole)
    if system == "moco":  # the queue is full, and part of what is the same
        weights = load_file(killed / "weights.safetensors")
        assert int(weights["queue.pushed"]) == 8 * 120 * 2
        assert len(set(weights["queue.ids"].tolist())) > 20


def test_mocos_queue_of_two_devices_resumes_too(tmp_path):
    options = {"trainer.devices": 2, "epochs": 3, "batch_size": 12, "trainer.checkpoint_every": 7}
    words = picture_arguments("moco", data=write_patterns(tmp_path), **options)
    whole, killed = whole_and_killed(tmp_path, "moco", words, step=10, devices=2)
    assert_same_end(killed, whole)
    # All of the batch's keys and of the full queue, but for the very same view and a picture's own past.
    candidates = [entry["n_candidates"] for entry in without_times(killed)]
    assert candidates[0] == 47
    assert 90 < candidates[-1] <= 95
