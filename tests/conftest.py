"""What all tests share: the Hypothesis profiles and the thread count."""

import os

import torch
from hypothesis import settings

# CI derandomises, so that a red run means a changed program and not an unlucky draw.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Tests run in parallel processes; threads inside each would fight over the cores.
torch.set_num_threads(1)
