"""Geometry against plain loops."""

import math

import pytest
import torch

from tellapart.diagnostics import alignment, effective_rank, turn_and_stretch, uniformity
from tests.engines import ENGINES, playing


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("t", [0.5, 2, 20])
def test_uniformity_is_the_log_of_the_mean_over_all_pairs(t, engine):
    torch.manual_seed(0)
    x = torch.randn(7, 3, dtype=torch.float64) * 4
    directions = [row / row.norm() for row in x]
    pairs = [math.exp(-t * (a - b).square().sum()) for i, a in enumerate(directions) for b in directions[:i]]
    with playing(engine) as name:
        found = uniformity(x, t, engine=name)
    assert found.item() == pytest.approx(math.log(math.fsum(pairs) / len(pairs)), abs=1e-12)


@pytest.mark.parametrize("power", [1, 2, 3.5])
def test_alignment_is_the_mean_power_of_the_distance_of_directions(power):
    torch.manual_seed(0)
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    each = [math.dist((a / a.norm()).tolist(), (b / b.norm()).tolist()) ** power for a, b in zip(x, y, strict=True)]
    assert alignment(5 * x, y, power).item() == pytest.approx(sum(each) / 6)


def test_alignment_and_uniformity_have_gradients():
    x, y = torch.randn(5, 3, dtype=torch.float64, requires_grad=True), torch.randn(5, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: alignment(x, y) + uniformity(x), (x,))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_effective_rank_counts_equal_singular_values(dtype):
    basis = torch.linalg.qr(torch.randn(12, 5, dtype=torch.float64))[0]
    for rank in (1, 3, 5):
        x = (basis[:, :rank] @ torch.eye(rank, 5, dtype=torch.float64)).to(dtype)
        assert effective_rank(x).item() == pytest.approx(rank, rel=0.05 if dtype == torch.bfloat16 else 1e-4)
    assert effective_rank(torch.zeros(4, 3, dtype=dtype)) == 1


def test_effective_rank_of_two_singular_values_is_exp_of_their_entropy():
    p = 0.2
    x = torch.diag(torch.tensor([1 - p, p, 0.0], dtype=torch.float64)) * 7
    assert effective_rank(x).item() == pytest.approx(math.exp(-p * math.log(p) - (1 - p) * math.log(1 - p)))


def test_turn_and_stretch_put_the_gradient_together_again():
    v, g = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    v[0] = 0
    turn, stretch = turn_and_stretch(v, g)
    torch.testing.assert_close(turn + stretch[:, None] * torch.nn.functional.normalize(v), g)
    torch.testing.assert_close((turn * v).sum(1), torch.zeros(5, dtype=torch.float64), atol=1e-14, rtol=0)
    torch.testing.assert_close(turn[0], g[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniformity(torch.eye(1)), "`x` must hold at least 2 vectors. Got 1"),
        (lambda: uniformity(torch.eye(2), t=0), "`t` must be positive"),
        (lambda: alignment(torch.eye(2), torch.eye(3)), "`y` must have the shape of x"),
        (lambda: turn_and_stretch(torch.eye(2), torch.eye(3)), "`gradients` must have the vectors' shape"),
        (lambda: effective_rank(torch.tensor([[torch.nan]])), "`x` must be finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
