"""Figures of generated examples, against plain formulas."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from tellapart.domains.generated import calibration, frechet_distance, kl_bound, kl_to_even
from tellapart.domains.generated.measure import energy_distance, log_kernel_density


def drawn(n, d, seed, scale=1.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "m", "d"), [(200, 100, 5), (4, 3, 6)])
def test_the_frechet_distance_is_that_of_a_matrix_root(n, m, d):
    a, b = drawn(n, d, 0), 1 + drawn(m, d, 1, 2.0) @ drawn(d, d, 2)
    covariances = [np.cov(x.double().numpy().T) for x in (a, b)]
    root = sqrtm(covariances[0] @ covariances[1] + 0j).real
    means = (a.double().mean(0) - b.double().mean(0)).square().sum().item()
    expected = means + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-4)


def test_of_the_same_features_it_is_0_even_if_these_span_few_dimensions():
    flat = drawn(50, 2, 3) @ drawn(2, 7, 4)
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(flat[:2], flat[:2]) == pytest.approx(0, abs=1e-5)


def test_the_energy_distance_is_written_in_loops():
    a, b = drawn(5, 3, 0), drawn(4, 3, 1, 2.0)

    def mean(pairs):
        return np.mean([(x - y).norm().item() for x, y in pairs])

    own = [mean((x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j) for x in (a, b)]
    expected = 2 * mean((x, y) for x in a for y in b) - sum(own)
    assert energy_distance(a, b).item() == pytest.approx(expected, rel=1e-5)
    assert energy_distance(a.reshape(5, 3, 1), b.reshape(4, 1, 3)).item() == pytest.approx(expected, rel=1e-5)


def test_the_energy_distance_is_about_0_of_one_distribution_and_grows_as_they_part():
    a = drawn(800, 2, 0)
    near, apart = (energy_distance(a, shift + drawn(800, 2, 1)).item() for shift in (0.0, 1.0))
    assert abs(near) < 0.02 < 0.3 < apart


def test_the_bound_is_written_in_loops():
    real, made = drawn(5, 1, 0)[:, 0], drawn(4, 1, 1)[:, 0]
    losses = [math.log(math.exp(x) + sum(math.exp(y) for y in made.tolist())) - x for x in real.tolist()]
    assert kl_bound(real, made) == pytest.approx(math.log(5) - np.mean(losses), abs=1e-6)


def test_kernels_are_summed_as_in_loops():
    points, samples = drawn(6, 2, 0), drawn(9, 2, 1)
    for point, found in zip(points.double().numpy(), log_kernel_density(points, samples, 0.7), strict=True):
        squares = ((samples.double().numpy() - point) ** 2).sum(axis=1)
        expected = np.exp(-squares / (2 * 0.49)).mean() / (2 * math.pi * 0.49)
        assert found.item() == pytest.approx(math.log(expected), abs=1e-4)


def test_scores_that_are_log_ratios_are_on_the_line_of_the_counts():
    """Real N(1, 1), generated N(0, 1): the log ratio at x is x − ½, whatever is added to all scores."""
    real, made = 1 + drawn(20_000, 1, 0)[:, 0], drawn(20_000, 1, 1)[:, 0]
    chart = calibration(real + 7, made + 7, torch.cat([real, made]) - 0.5)
    said, counted, known = chart.lines.values()
    assert chart.x == said
    np.testing.assert_allclose(said, known, atol=0.05)
    np.testing.assert_allclose(counted, known, atol=0.2)


def test_shares_are_compared_with_even_ones():
    assert kl_to_even(torch.full((4,), 0.25)) == pytest.approx(0, abs=1e-7)
    assert kl_to_even(torch.tensor([0.5, 0.25, 0.25, 0])) == pytest.approx(math.log(4) - 1.5 * math.log(2), abs=1e-6)
