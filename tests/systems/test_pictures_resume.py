"""A killed run of pictures without texts, continued, ends as one never killed: weights, queue and slow network."""

import os
import signal
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from tests.tiny import picture_arguments, write_patterns
from tests.training.test_resume import assert_same_end, finish, wait_for_step, without_times

OPTIONS = {"epochs": 30, "trainer.checkpoint_every": 7}


def start(system, data, run, **options):
    words = picture_arguments(system, data=data, **OPTIONS | options)
    command = [sys.executable, "-m", "tellapart", "train", system, "--run", str(run), *words, "--resume"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # threads of tests side by side would wait for each other
    return subprocess.Popen(command, start_new_session=True, env=alone, **pipes)


def whole_and_killed(system, data, folder, kill_at, **options):
    """The folders of two runs, of which one was killed at a step and continued."""
    for name in ("whole", "killed"):
        if name == "killed":
            process = start(system, data, folder / name, **options)
            wait_for_step(folder / name, kill_at, process)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            assert not (folder / name / "weights.safetensors").exists()
        code, _, err = finish(start(system, data, folder / name, **options))
        assert code == 0, err
    return folder / "whole", folder / "killed"


@pytest.mark.parametrize("system", ["simclr", "moco"])
def test_a_killed_run_that_is_resumed_ends_in_the_same_weights(tmp_path, system):
    whole, killed = whole_and_killed(system, write_patterns(tmp_path), tmp_path, kill_at=40)
    assert_same_end(killed, whole)
    if system == "moco":  # the queue is full, and part of what is the same
        weights = load_file(killed / "weights.safetensors")
        assert int(weights["queue.pushed"]) == 30 * 120 * 2
        assert len(set(weights["queue.ids"].tolist())) > 20


def test_mocos_queue_of_two_devices_resumes_too(tmp_path):
    options = {"trainer.devices": 2, "epochs": 5, "batch_size": 12}
    whole, killed = whole_and_killed("moco", write_patterns(tmp_path), tmp_path, kill_at=10, **options)
    assert_same_end(killed, whole)
    # All of the batch's keys and of the full queue, but for the very same view and a picture's own past.
    candidates = [entry["n_candidates"] for entry in without_times(killed)]
    assert candidates[0] == 47
    assert 90 < candidates[-1] <= 95
