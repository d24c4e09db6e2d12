"""What is measured, and at which size, with a clock that only tells what a test wants."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from tellapart import options
from tellapart.domains.pictures import ImageShape
from tellapart.errors import memory_budget
from tellapart.planning import PlannedLoss, measure_encoder, measure_loss
from tellapart.systems import load


class Clock:
    """Moves by `step` whenever it is looked at."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


@pytest.fixture
def computed(monkeypatch):
    """The planned losses that were computed, each with the memory budget it had."""
    seen, ready = [], PlannedLoss.ready

    def watched(self, dim, temperature):
        terms = ready(self, dim, temperature)

        def compute():
            seen.append((self, memory_budget()))
            return terms()

        return compute

    monkeypatch.setattr(PlannedLoss, "ready", watched)
    return seen


def test_with_time_enough_the_planned_size_itself_is_measured(computed):
    speed = measure_loss(load("clip").plan, 1100, 0, 4, 0.1, clock=Clock(1e-6))
    assert (speed.batch, speed.n_scores, speed.seconds) == (1100, 1100**2, pytest.approx(1e-6))
    assert [planned.batch for planned, _ in computed] == [275, 275, 550, 1100] + [1100] * 4


def test_without_time_the_smallest_is_measured_and_no_larger_one_begun(computed):
    speed = measure_loss(load("moco").plan, 4096, 300, 4, 0.1, seconds=5, clock=Clock(10))
    assert (speed.batch, speed.seconds) == (256, 10)
    assert {(planned.batch, planned.queue, planned.n_candidates) for planned, _ in computed} == {(256, 300, 812)}


def test_a_size_is_begun_only_if_it_would_be_done_in_time(computed):
    """Each look takes a second, and so does each loss: four times of that is promised to the next size."""
    measure_loss(load("simclr").plan, 2048, 0, 4, 0.1, seconds=11.5, clock=Clock(1))
    batches = [planned.batch for planned, _ in computed]
    assert batches[:2] == [256, 256]
    assert batches[2] == 512
    assert 1024 not in batches
    assert all(larger <= 2 * smaller for smaller, larger in pairwise(batches))


def test_a_small_batch_is_measured_as_it_is(computed):
    assert measure_loss(load("simclr").plan, 2, 0, 4, 0.1, clock=Clock(1)).batch == 2
    assert {planned.batch for planned, _ in computed} == {2}


def test_the_share_of_scores_that_stay_is_that_of_the_planned_size(computed):
    with options(memory_budget=10**6):
        measure_loss(load("clip").plan, 1024, 0, 4, 0.1, seconds=5, clock=Clock(10))
    assert {budget for _, budget in computed} == {10**6 // 16}


class Flat(nn.Module):
    """One product of all of a picture's numbers, whose backward pass needs the picture and nothing else."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 8 * 8, 5)
        self.seen = []

    def forward(self, pictures):
        self.seen.append((len(pictures), torch.is_grad_enabled()))
        return self.layer(pictures.flatten(1))


def test_an_encoders_numbers_are_those_of_one_picture():
    encoder = Flat()
    speed = measure_encoder(encoder, ImageShape(8, 3), most=20, clock=Clock(1e-6))
    assert speed.kept_bytes == 4 * 3 * 8 * 8
    assert speed.forward_and_backward == pytest.approx(1e-6 / 20)
    assert speed.forward == pytest.approx(1e-6 / 20)
    assert [n for n, _ in encoder.seen] == [2, 2, 4, 8, 16] + [20] * 6
    assert [with_gradient for _, with_gradient in encoder.seen] == [True] * 10 + [False]


def test_a_slow_encoder_is_timed_by_two_pictures():
    encoder = Flat()
    measure_encoder(encoder, ImageShape(8, 3), most=20, seconds=5, clock=Clock(10))
    assert {n for n, _ in encoder.seen} == {2}
