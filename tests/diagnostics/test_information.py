"""The bound on mutual information: where it holds, and where it is silent."""

import math

import pytest
import torch

from tellapart import info_nce_terms, paired, same
from tellapart.diagnostics import mi_bound


def gaussian_terms(rho, dim, k, line_ups, symmetric=False):
    """Terms of the optimal critic on correlated Gaussians: the log density ratio, as an inner product.

    log p(y|x)/p(y) = Σ (ρxy − ρ²(x² + y²)/2)/(1 − ρ²) − d/2 log(1 − ρ²); features [ρx, x², 1]·[y, −…].
    """
    torch.manual_seed(0)
    bounds = []
    for _ in range(line_ups):
        x = torch.randn(k, dim, dtype=torch.float64)
        y = rho * x + math.sqrt(1 - rho**2) * torch.randn(k, dim, dtype=torch.float64)
        c, ones = 1 / (1 - rho**2), torch.ones(k, 1, dtype=torch.float64)
        half = rho**2 / 2 * c
        queries = torch.cat([rho * c * x, -half * x.square().sum(1, keepdim=True), ones], dim=1)
        keys = torch.cat([y, ones, -half * y.square().sum(1, keepdim=True)], dim=1)
        bounds.append(mi_bound(info_nce_terms(queries, keys, score="dot", temperature=1.0, symmetric=symmetric)))
    values = torch.stack(bounds)
    return values.mean().item(), values.std().item() / math.sqrt(line_ups)


@pytest.mark.parametrize(("rho", "dim"), [(0.5, 1), (0.8, 2), (0.9, 3), (0.9, 20)])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_optimal_critic_stays_below_the_true_information_and_below_log_k(rho, dim, symmetric):
    """SYSTEMS T8: I = −d/2 ln(1 − ρ²); the estimate exceeds neither it nor log K beyond sampling error."""
    k, truth = 64, -dim / 2 * math.log(1 - rho**2)
    estimate, error = gaussian_terms(rho, dim, k, line_ups=60, symmetric=symmetric)
    assert estimate <= truth + 3 * error
    assert estimate <= math.log(k)
    if truth < math.log(k) - 2:
        assert estimate >= 0.95 * truth - 3 * error


def test_queries_with_several_positives_do_not_count():
    keys = torch.eye(4)
    all_single = info_nce_terms(keys, keys, temperature=0.1)
    mixed = info_nce_terms(keys, keys, positives=same([0, 1, 2, 2]), temperature=0.1)
    torch.testing.assert_close(mi_bound(mixed), mi_bound(all_single))
    assert mi_bound(info_nce_terms(keys, keys, positives=same([0, 0, 0, 0]))).isnan()


def test_a_positive_that_is_excluded_gives_no_bound():
    keys = torch.eye(8)
    assert mi_bound(info_nce_terms(keys, keys, exclude=paired(), temperature=0.05)).isnan()
