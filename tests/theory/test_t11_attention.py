"""T11: attention is the softmax of an energy, and InfoNCE bounds what it reads wrongly. All in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention as sdpa

from tellapart import before, info_nce_terms, listed
from tellapart.diagnostics import effective_candidates, energies, forces, log_partition, shares
from tellapart.theory import read, read_error_bound
from tellapart.theory.curves import error_against_loss
from tests.theory.families import generators, temperatures

ENGINES = ("dense", "tiled")


def drawn(generator, *shapes):
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.fixture
def attended():
    """Queries, keys and values of one line-up; the score and temperature of attention."""
    q, k, v = drawn(torch.Generator().manual_seed(0), (7, 16), (9, 16), (9, 5))
    return q, k, v, {"score": "dot", "temperature": 4.0}


def test_the_shares_of_candidates_are_the_softmax_of_attention(attended):
    q, k, _, options = attended
    softmax = (q @ k.T / 4).softmax(1)
    close(shares(q[:7], k, **options), softmax)
    close(energies(q, k, temperature=4.0).shares, softmax)


@pytest.mark.parametrize("engine", ENGINES)
def test_minus_log_z_is_the_free_energy_mean_energy_less_entropy(attended, engine):
    q, k, _, options = attended
    energy = -(q @ k.T) / 4
    p = (-energy).softmax(1)
    mean, entropy = (p * energy).sum(1), -(p * p.log()).sum(1)
    close(-log_partition(q, k, engine=engine, **options), mean - entropy)
    found = energies(q, k, temperature=4.0)
    close(found.free_energy, mean - entropy)
    close(found.mean_energy, mean)
    close(found.entropy, entropy)
    close(effective_candidates(q, k, engine=engine, **options), entropy.exp())
    close(found.effective_candidates, entropy.exp())


@pytest.mark.parametrize("engine", ENGINES)
def test_the_push_on_a_query_is_attention_with_the_keys_as_values(attended, engine):
    q, k, _, options = attended
    close(forces(q, k, engine=engine, **options).push * 4, sdpa(q, k, k))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_gradient_of_log_z_by_further_coordinates_is_attention_with_any_values(attended, engine):
    """`√d ∂log Z([q, 0], [k, v])/∂0 = sdpa(q, k, v)`."""
    q, k, v, _ = attended
    close(read(q, k, v, temperature=4.0, engine=engine), sdpa(q, k, v))


@pytest.mark.parametrize("engine", ENGINES)
def test_causal_attention_excludes_the_keys_that_are_later(engine):
    q, k, v = drawn(torch.Generator().manual_seed(1), (9, 16), (9, 16), (9, 5))
    later = before(torch.arange(9)).transposed()
    causal = sdpa(q, k, v, is_causal=True)
    close(read(q, k, v, temperature=4.0, engine=engine, exclude=later), causal)
    close(energies(q, k, temperature=4.0, exclude=later).shares @ v, causal)
    masked = (q @ k.T / 4).masked_fill(torch.ones(9, 9).triu(1) > 0, -math.inf)
    close(log_partition(q, k, score="dot", temperature=4.0, engine=engine, exclude=later), masked.logsumexp(1))


@pytest.mark.parametrize("causal", [False, True])
def test_grouped_queries_are_more_queries_of_the_same_keys(causal):
    """A batch of 2 sequences; 6 heads of queries for 2 of keys: each head of keys has the queries of 3."""
    q, k, v = drawn(torch.Generator().manual_seed(2), (2, 6, 5, 16), (2, 2, 5, 16), (2, 2, 5, 3))
    expected = sdpa(q, k, v, is_causal=causal, enable_gqa=True)
    times = torch.arange(5)
    later = before(times).transposed() if causal else None
    batched = energies(q.unflatten(1, (2, 3)), k[:, :, None], temperature=4.0, exclude=later)
    close((batched.shares @ v[:, :, None]).flatten(1, 2), expected)
    stacked = before(times, times.repeat(3)).transposed() if causal else None
    for b in range(2):
        for h in range(2):
            group = q[b, 3 * h : 3 * h + 3].flatten(0, 1)
            found = read(group, k[b, h], v[b, h], temperature=4.0, exclude=stacked)
            close(found.unflatten(0, (3, 5)), expected[b, 3 * h : 3 * h + 3])


def test_a_batch_of_line_ups_is_each_by_itself():
    q, k = drawn(torch.Generator().manual_seed(3), (2, 3, 4, 8), (2, 3, 6, 8))
    later = ~before(torch.arange(4) + 1, torch.arange(6))
    batch = energies(q, k, temperature=0.5, exclude=later)
    targets = torch.zeros(4, 6, dtype=torch.bool)
    targets[1:, 0] = True
    for place in ((0, 0), (1, 2)):
        alone = {"score": "dot", "temperature": 0.5, "exclude": later}
        close(batch.log_partition[place], log_partition(q[place], k[place], **alone))
        close(batch.effective_candidates[place], effective_candidates(q[place], k[place], **alone))
        of_first = info_nce_terms(q[place], k[place], positives=listed(torch.zeros(4, dtype=torch.long)), **alone)
        close(batch.loss(targets)[place][1:], of_first.per_query()[1:])
    assert batch.loss(targets)[..., 0].isnan().all()
    close(batch.blind_loss(targets)[0, 0, 1:], torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64).log())


def test_a_query_without_candidates_has_no_share_and_no_loss():
    q, k = drawn(torch.Generator().manual_seed(4), (2, 8), (3, 8))
    exclude = torch.tensor([[True, True, True], [False, True, False]])
    found = energies(q, k, temperature=1.0, exclude=exclude)
    assert found.shares[0].tolist() == [0, 0, 0]
    assert found.n_candidates.tolist() == [0, 2]
    assert found.loss(torch.ones(2, 3, dtype=torch.bool))[0].isnan()
    assert found.mean_energy[0] == found.entropy[0] == 0
    with pytest.raises(ValueError, match="leave every query a candidate"):
        log_partition(q, k, exclude=~before(torch.tensor([0, 9]), torch.arange(3)))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"temperature": 0.0}, "`temperature` must be positive"),
        ({"exclude": before(torch.arange(5))}, "`exclude`"),
        ({"queries": torch.ones(3, 4)}, r"`keys` must have shape \(…, rows, 4\)"),
        ({"keys": torch.full((3, 2), math.nan)}, "`keys` must be finite"),
    ],
)
def test_what_is_wrong_is_named(wrong, why):
    given = {"queries": torch.ones(3, 2), "keys": torch.ones(3, 2), "temperature": 1.0} | wrong
    with pytest.raises(ValueError, match=why):
        energies(given.pop("queries"), given.pop("keys"), **given)
    with pytest.raises(ValueError, match="`positives` must be left out"):
        log_partition(torch.eye(2), torch.eye(2), positives=listed(torch.tensor([0, 1])))
    with pytest.raises(ValueError, match="`values` must have a row for each of the 2 keys"):
        read(torch.eye(2), torch.eye(2), torch.ones(3, 1), temperature=1.0)


@settings(max_examples=100)
@given(generators, st.integers(1, 6), st.integers(1, 20), st.integers(1, 5), temperatures, st.floats(0.01, 100))
def test_t11_the_loss_bounds_the_error_of_reading(generator, n, m, e, temperature, size):
    """`‖Σ_j p_j v_j − v⁺‖ ≤ (1 − e^{−L}) · max_j ‖v_j − v⁺‖`, whatever queries, keys and values are."""
    q, k, v = drawn(generator, (n, 4), (m, 4), (m, e))
    v = v * size
    positives = torch.randint(m, (n,), generator=generator)
    terms = info_nce_terms(q, k, positives=listed(positives), score="dot", temperature=temperature)
    error = (read(q, k, v, temperature=temperature) - v[positives]).norm(dim=1)
    assert (error <= read_error_bound(terms.per_query(), v, positives) + 1e-9 * size).all()


def test_t11_the_bound_is_reached_with_two_keys_and_cannot_be_less():
    """With one negative the error is its share times its distance: exactly the bound."""
    q, k, v = drawn(torch.Generator().manual_seed(5), (6, 4), (2, 4), (2, 3))
    positives = torch.tensor([0, 1, 0, 1, 0, 1])
    terms = info_nce_terms(q, k, positives=listed(positives), score="dot", temperature=0.5)
    error = (read(q, k, v, temperature=0.5) - v[positives]).norm(dim=1)
    close(error, read_error_bound(terms.per_query(), v, positives))


def test_t11_the_error_falls_with_the_loss_below_its_bound():
    curve = error_against_loss(stored=200, n=50)
    error, bound = curve.lines
    assert all(e < b for e, b in zip(error.y, bound.y, strict=True))
    # The loss is least at the best τ: from there to the highest τ, error and loss rise together.
    rising = sorted(zip(error.x, error.y, strict=True))
    assert rising[0][1] < rising[-1][1] / 4
