"""What all tests share: the Hypothesis profiles, the thread count, a small trained run."""

import os

import pytest
import torch
from hypothesis import settings

from tests.tiny import arguments, picture_arguments, write_pairs, write_patterns

# CI derandomises, so that a red run means a changed program and not an unlucky draw.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Tests run in parallel processes; threads inside each would fight over the cores.
torch.set_num_threads(1)

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of CLIP on the tiny data, trained by the command line; one of its texts is a script."""
    from tellapart.cli import main

    folder = tmp_path_factory.mktemp("trained")
    # Every shape of one colour carries the script, so that at least one of them is shown.
    texts = {f"red-{shape}.png": f"{SCRIPT} {shape}" for shape in ("circle", "square", "bar", "dot")}
    data = write_pairs(folder / "pictures", texts)
    run = folder / "run"
    assert main(["train", "clip", "--run", str(run), *arguments(data=data, epochs=12, held_out=0.5)]) == 0
    return run


@pytest.fixture(scope="session", params=["simclr", "moco"])
def learned(request, tmp_path_factory):
    """A run of each system of pictures without texts, on labelled patterns, trained by the command line."""
    from tellapart.cli import main

    folder = tmp_path_factory.mktemp(request.param)
    words = picture_arguments(request.param, data=write_patterns(folder))
    assert main(["train", request.param, "--run", str(folder / "run"), *words]) == 0
    return folder / "run"
