"""T10: good embeddings are aligned and uniform, and collapse shows in their rank."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import paired
from tellapart.diagnostics import alignment, effective_rank, uniformity
from tellapart.variants import dcl

shapes = st.tuples(st.integers(2, 20), st.integers(2, 9), st.integers(0, 2**31))
ts = st.floats(0.1, 20)


def vectors(shape, more=0):
    n, d, seed = shape
    generator = torch.Generator().manual_seed(seed + more)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


@given(shapes, st.floats(0.02, 5))
def test_t10_alignment_and_uniformity_together_bound_the_loss(shape, tau):
    """`mean_i (log Σ_{j≠i} exp(x̂_i·x̂_j/τ) − x̂_i·ŷ_i/τ) ≤ alignment/2τ + uniformity(t = 1/2τ) + log(n − 1)`.

    The decoupled loss, whose negatives are the other queries: its pull is alignment exactly, and the log of a mean
    is above the mean of logs.
    """
    x, y = vectors(shape), vectors(shape, more=1)
    n = len(x)
    others = torch.stack([x[torch.arange(n) != i] for i in range(n)])
    loss = dcl(x, y, exclude=~paired(), negatives=others, temperature=tau)
    bound = alignment(x, y) / (2 * tau) + uniformity(x, 1 / (2 * tau)) + math.log(n - 1)
    assert loss <= bound + 1e-9 * (1 + 1 / tau)


@given(shapes, ts)
def test_t10_n_directions_are_at_best_as_uniform_as_a_simplex(shape, t):
    """`uniformity ≥ −2tn/(n − 1)`, for the mean squared distance is at most 2n/(n − 1); equal for a regular simplex."""
    x, n = vectors(shape), shape[0]
    best = -2 * t * n / (n - 1)
    assert best - 1e-9 * t <= uniformity(x, t) <= 1e-9 * t
    simplex = torch.eye(n, dtype=torch.float64) - 1 / n
    torch.testing.assert_close(uniformity(simplex, t).item(), best)


@pytest.mark.parametrize(("dim", "t"), [(2, 2.0), (8, 2.0), (64, 2.0), (8, 0.5)])
def test_t10_even_directions_have_the_known_uniformity(dim, t):
    """`E exp(−t‖x̂ − ŷ‖²) = exp(−2t) ₀F₁(d/2; t²)`; the mean over pairs has no bias, so 3 standard errors decide."""
    series = term = 1.0
    for k in range(1, 60):
        term *= t**2 / (k * (dim / 2 + k - 1))
        series += term
    generator = torch.Generator().manual_seed(0)
    drawn = (torch.randn(64, dim, generator=generator, dtype=torch.float64) for _ in range(200))
    means = torch.stack([uniformity(x, t).exp() for x in drawn])
    error = means.std().item() / math.sqrt(len(means))
    assert means.mean().item() == pytest.approx(math.exp(-2 * t) * series, abs=3 * error)


@given(shapes, ts)
def test_t10_collapse_to_a_point_is_perfect_alignment_no_uniformity_and_rank_one(shape, t):
    n, d, seed = shape
    x = vectors((1, d, seed)).expand(n, d) * torch.linspace(1, 3, n, dtype=torch.float64)[:, None]
    assert alignment(x, 2 * x).item() == pytest.approx(0, abs=1e-12)
    assert uniformity(x, t).item() == pytest.approx(0, abs=1e-12 * (1 + t))
    assert effective_rank(x).item() == pytest.approx(1, abs=1e-9)


@given(shapes, st.integers(1, 9), st.floats(0.01, 100))
def test_t10_the_effective_rank_is_at_most_the_rank_whatever_scale_and_axes(shape, rank, scale):
    """`1 ≤ erank ≤ rank ≤ min(n, d)`; only the singular values count, and only their proportions."""
    n, d, seed = shape
    x = vectors((n, rank, seed)) @ vectors((rank, d, seed), more=1)
    found = effective_rank(x).item()
    assert 1 - 1e-9 <= found <= min(n, d, rank) + 1e-6
    turn = torch.linalg.qr(vectors((d, d, seed), more=2))[0]
    assert effective_rank(scale * x @ turn).item() == pytest.approx(found, rel=1e-9)
    sigma = torch.linalg.svdvals(x)
    assert found == pytest.approx(torch.special.entr(sigma / sigma.sum()).sum().exp().item())


@given(st.integers(2, 9), st.integers(1, 9))
def test_t10_directions_that_are_used_alike_count_fully(dim, used):
    used = min(dim, used)
    x = torch.eye(dim, dtype=torch.float64)[:used].repeat(3, 1)
    assert effective_rank(x).item() == pytest.approx(used)
