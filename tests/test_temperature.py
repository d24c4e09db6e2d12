"""The learned temperature and its bounds."""

import math

import pytest
import torch

from tellapart import LearnedTemperature, info_nce
from tellapart.temperature import cosine_schedule


def test_it_starts_where_told_and_its_gradient_is_exact():
    tau = LearnedTemperature(0.2).double()
    value = tau()
    value.backward()
    assert value.item() == pytest.approx(0.2)
    assert tau.log_temperature.grad.item() == pytest.approx(0.2)  # dτ/d(log τ) = τ


@pytest.mark.parametrize(("bound", "outward"), [("minimum", 1.0), ("maximum", -1.0)])
def test_at_a_bound_it_stays_and_an_inward_gradient_is_not_blocked(bound, outward):
    """Descent along an outward gradient leaves τ on the bound; an inward one reaches the parameter."""
    tau = LearnedTemperature(0.1, minimum=0.05, maximum=0.2)
    optimizer = torch.optim.SGD(tau.parameters(), lr=10.0)
    limit = getattr(tau, bound)
    for _ in range(5):
        optimizer.zero_grad()
        (outward * tau()).backward()
        optimizer.step()
        assert 0.05 - 1e-7 <= tau().item() <= 0.2 + 1e-7
    assert tau().item() == pytest.approx(limit)
    assert tau.log_temperature.grad == 0
    (-outward * tau()).backward()
    assert tau.log_temperature.grad != 0


def test_the_default_bound_is_clips():
    tau = LearnedTemperature(0.01)
    assert 1 / tau().item() == pytest.approx(100)
    assert math.isinf(tau.maximum)


@pytest.mark.parametrize(("initial", "bounds"), [(0, {}), (-1, {}), (0.001, {}), (1, {"maximum": 0.5}), (math.inf, {})])
def test_a_start_outside_the_bounds_is_refused(initial, bounds):
    with pytest.raises(ValueError, match="`initial` must be finite and lie between"):
        LearnedTemperature(initial, **bounds)


def test_a_schedule_stays_between_its_bounds_and_repeats():
    values = [cosine_schedule(t, 10, low=0.05, high=0.4) for t in range(25)]
    assert max(values) == values[0] == pytest.approx(0.4)
    assert min(values) == values[5] == pytest.approx(0.05)
    assert values[3] == pytest.approx(values[13])
    assert info_nce(torch.eye(3), torch.eye(3), temperature=values[5]) < info_nce(
        torch.eye(3), torch.eye(3), temperature=0.4
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"period": 0, "low": 0.1, "high": 0.2}, "`period` must be positive. Got 0"),
        ({"period": 1, "low": 0.3, "high": 0.2}, "`low` must be positive and at most `high`, 0.2. Got 0.3"),
        ({"period": 1, "low": 0.0, "high": 0.2}, "`low` must be positive"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        cosine_schedule(0, **arguments)
