"""The problems, and the curves drawn of them, against what they say they are."""

import dataclasses
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.theory import Gaussians, Table, optimum_at_least, random_table
from tellapart.theory.curves import (
    PROBLEMS,
    hardness_against_temperature,
    hinge_against_negatives,
    information_against_line_up,
    learned_against_true,
    margin_against_negatives,
)
from tests.theory.families import generators


@given(st.integers(1, 5), st.integers(1, 5), generators)
def test_a_tables_log_ratios_and_information_are_sums_over_its_entries(n, m, generator):
    table = random_table(n, m, generator, spread=2.0)
    joint = table.joint.tolist()
    rows, cols = [sum(row) for row in joint], [sum(row[j] for row in joint) for j in range(m)]
    places = [(i, j) for i in range(n) for j in range(m)]
    ratios = {(i, j): math.log(joint[i][j] / (rows[i] * cols[j])) for i, j in places}
    x, y = torch.tensor(places).T
    assert table.log_ratio(x, y).tolist() == pytest.approx([ratios[place] for place in places], abs=1e-12)
    assert table.information == pytest.approx(sum(joint[i][j] * ratios[i, j] for i, j in places), abs=1e-12)
    assert table.log_q.exp().tolist() == pytest.approx(cols)


def test_pairs_are_drawn_as_often_as_the_table_says():
    """Counts within 5 standard deviations of `n p`."""
    table, n = random_table(3, 4, torch.Generator().manual_seed(0)), 20_000
    x, y = table.sample(n, torch.Generator().manual_seed(1))
    counts = torch.bincount(x * 4 + y, minlength=12).view(3, 4)
    assert ((counts - n * table.joint).abs() <= 5 * (n * table.joint * (1 - table.joint)).sqrt()).all()


def test_gaussian_pairs_are_correlated_as_they_should_be():
    """Sample moments within 5 standard errors; (1 − ρ²)/√n is that of a correlation."""
    problem, n = Gaussians(3, -0.6), 20_000
    x, y = problem.sample(n, torch.Generator().manual_seed(0))
    for one in (x, y):
        assert (one.mean(0).abs() <= 5 / math.sqrt(n)).all()
        assert ((one.var(0) - 1).abs() <= 5 * math.sqrt(2 / n)).all()
    correlations = torch.corrcoef(torch.cat([x, y], dim=1).T)[:3, 3:]
    error = torch.where(torch.eye(3).bool(), 1 - problem.rho**2, 1.0) / math.sqrt(n)
    assert ((correlations - problem.rho * torch.eye(3)).abs() <= 5 * error).all()


def test_hardness_goes_from_one_negative_to_all_of_them():
    curve = hardness_against_temperature(n_queries=8, n_negatives=50, temperatures=(1e-4, 0.01, 0.1, 1.0, 1e4))
    effective, hardest, floor = curve.lines
    assert effective.y == sorted(effective.y)
    assert hardest.y == sorted(hardest.y, reverse=True)
    assert (effective.y[0], hardest.y[0]) == pytest.approx((1 / 50, 1), rel=1e-6)
    assert (effective.y[-1], hardest.y[-1]) == pytest.approx((1, 1 / 50), rel=1e-3)
    assert floor.y == [1 / 50] * 5


@pytest.mark.parametrize(
    ("draw", "claim"),
    [
        (lambda: hardness_against_temperature(n_queries=3, n_negatives=5, temperatures=(0.1, 1)), "T3"),
        (lambda: margin_against_negatives(most=8), "T4"),
        (lambda: hinge_against_negatives(most=8), "T4"),
        (lambda: learned_against_true(PROBLEMS[2], steps=3, n_points=7), "T7"),
        (lambda: information_against_line_up(12.0, sizes=(8, 16), pairs=32, at_least=2), "T8"),
    ],
)
def test_a_curve_is_plain_numbers_as_many_of_x_as_of_y_and_the_same_each_time(draw, claim):
    curve = draw()
    assert curve.claim == claim
    assert json.loads(json.dumps(dataclasses.asdict(curve), allow_nan=False))["title"] == curve.title
    for line in curve.lines:
        assert len(line.x) == len(line.y) > 0
        assert line.error is None or len(line.error) == len(line.x)
        assert all(type(value) is float for value in [*line.x, *line.y, *(line.error or [])])
    assert draw().lines == curve.lines


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Gaussians(0, 0.5), "`dim` must be at least 1"),
        (lambda: Gaussians(1, 1.0), "`rho` must lie between -1 and 1"),
        (lambda: Gaussians.with_information(-1.0, 2), "`nats` must be finite and at least 0"),
        (lambda: Gaussians.with_information(1.0, 0), "`dim` must be at least 1"),
        (lambda: Table(torch.tensor([[0.5, 0.6]])), "`joint` must be positive probabilities of pairs"),
        (lambda: Table(torch.tensor([[0.0, 1.0]])), "`joint` must be positive"),
        (lambda: optimum_at_least(torch.zeros(1), 0), "`n_negatives` must be at least 1"),
        (lambda: learned_against_true("gaussian"), "`problem` must be one of 'gaussian, d = 1'"),
    ],
)
def test_what_is_no_problem_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
