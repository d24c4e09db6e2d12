"""Seeds of steps: torch's own numbers, without what torch does for devices that are not there."""

import traceback

import numpy as np
import torch

from tellapart.training import seed_step


def test_a_step_draws_what_it_draws_after_torchs_manual_seed():
    for seed, step, device in ((0, 0, 0), (2**63 - 1, 10**6, 3)):
        number = np.random.SeedSequence([seed, step, device]).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(number))
        expected = torch.rand(5), torch.randn(5), torch.randperm(7)
        seed_step(seed, step, device)
        assert all(map(torch.equal, expected, (torch.rand(5), torch.randn(5), torch.randperm(7))))


def test_no_stack_is_formatted_for_a_device_that_is_not_there(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr(traceback, "format_stack", refuse)
    seed_step(0, 1, 0)
