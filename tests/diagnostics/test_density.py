"""Density ratios: c(x) is taken away, whatever it is."""

import math

import pytest
import torch

from tellapart.diagnostics import density_ratio
from tests.engines import ENGINES, playing


def table(n, m, seed=0):
    """A joint table of n × m, log p(y|x)/q(y) and log q(y)."""
    joint = torch.rand(n, m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    joint = joint / joint.sum()
    return (joint / joint.sum(1, keepdim=True) / joint.sum(0)).log(), joint.sum(0).log()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_a_listed_reference_takes_any_c_of_x_away_exactly(engine, temperature):
    """The critic's logits are log r + c(x): queries hold its rows, keys are the unit vectors."""
    log_ratio, log_q = table(6, 4)
    critic = (log_ratio + torch.linspace(-9, 9, 6)[:, None]) * temperature
    ys = torch.eye(4, dtype=torch.float64)
    options = {"score": "dot", "temperature": temperature, "log_probability": log_q + 3}
    for y in range(4):
        with playing(engine) as name:
            found = density_ratio(critic, ys[[y] * 6], ys, engine=name, **options)
        torch.testing.assert_close(found, log_ratio[:, y])


def test_a_sampled_reference_is_too_high_by_half_the_ratios_variance_over_its_size():
    """`E[−log mean_j r_j] = Var/2m + O(1/m²)`; measured over many references, with its standard error."""
    log_ratio, log_q = table(3, 5)
    m, repeats, x = 200, 2000, 1
    generator = torch.Generator().manual_seed(1)
    drawn = torch.multinomial(log_q.exp(), m * repeats, replacement=True, generator=generator).view(repeats, m)
    ys = torch.eye(5, dtype=torch.float64)
    found = [density_ratio(log_ratio[[x]], ys[:1], ys[row], score="dot", temperature=1.0).item() for row in drawn[:300]]
    excess = torch.tensor(found, dtype=torch.float64) - log_ratio[x, 0]
    variance = (log_q.exp() * (log_ratio[x].exp() - 1).square()).sum().item()
    error = excess.std().item() / math.sqrt(len(excess))
    assert abs(excess.mean().item() - variance / (2 * m)) <= 3 * error + (variance / m) ** 2 + variance / m**2 * 3


def test_it_is_the_cosine_at_the_usual_temperature_by_default():
    torch.manual_seed(0)
    x, y, reference = (torch.randn(size, 3, dtype=torch.float64) for size in (4, 4, 9))
    cosines = torch.cosine_similarity(x[:, None], torch.cat([y, reference])[None], dim=2) / 0.07
    expected = cosines[:, :4].diagonal() - (cosines[:, 4:].logsumexp(1) - math.log(9))
    torch.testing.assert_close(density_ratio(x, y, reference), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: density_ratio(torch.eye(2), torch.eye(2)[:1], torch.eye(2)), "`keys` must hold one for each of the 2"),
        (
            lambda: density_ratio(torch.eye(2), torch.eye(2), torch.eye(2), log_probability=torch.zeros(3)),
            r"`log_probability` must have one entry per reference, \(2,\). Got shape \(3,\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_empty_reference_is_refused_by_name():
    with pytest.raises(ValueError, match="`reference` must hold at least one y"):
        density_ratio(torch.ones(2, 3), torch.ones(2, 3), torch.ones(0, 3))
