"""NWJ, I_α and SMILE against their formulas over a whole matrix of logits."""

import math
from unittest.mock import patch

import pytest
import torch

from tellapart import info_nce_terms, paired, same
from tellapart.diagnostics import alpha_bound, bands, mi_bound, mi_ceiling, nwj, smile
from tests.engines import ENGINES, playing

N = 7


def critic(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(N, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    return x, y, torch.randn(N, generator=generator)


@pytest.mark.parametrize("engine", ENGINES)
def test_nwj_is_its_formula(engine):
    x, y, bias = critic()
    logits = x @ y.T / 2 + bias
    off = ~torch.eye(N).bool()
    expected = 1 + logits.diagonal().mean() - logits[off].exp().mean()
    with playing(engine) as name:
        options = {"score": "dot", "temperature": 2.0, "key_bias": bias, "engine": name}
        one, two = info_nce_terms(x, y, **options), info_nce_terms(x, y, symmetric=True, **options)
    torch.testing.assert_close(nwj(one), expected)
    torch.testing.assert_close(nwj(two), expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.5, 1.0])
def test_the_interpolated_bound_is_its_formula_on_line_ups_of_one_size(alpha, engine):
    x, y, bias = critic()
    ratio = (x @ y.T / 2 + bias).exp()
    joint = apart = 0.0
    for i in range(N):
        others = [ratio[i, j] for j in range(N) if j != i]
        own = [ratio[i, j] for j in range(N) if j != (i + 1) % N]
        joint += torch.log(ratio[i, i] / (alpha * sum(own) / (N - 1) + 1 - alpha))
        mean = sum(others) / (N - 1)
        apart += mean / (alpha * mean + 1 - alpha)
    with playing(engine) as name:
        found = alpha_bound(x, y, alpha=alpha, score="dot", temperature=2.0, key_bias=bias, engine=name)
    torch.testing.assert_close(found, 1 + (joint - apart) / N)


def test_the_interpolated_bound_ends_in_nwj_and_in_info_nce():
    x, y, _ = critic()
    options = {"score": "dot", "temperature": 2.0}
    torch.testing.assert_close(alpha_bound(x, y, alpha=0.0, **options), nwj(info_nce_terms(x, y, **options)))
    one_less = ~same([*range(N)], [(j - 1) % N for j in range(N)])
    info_nce = mi_bound(info_nce_terms(x, y, exclude=~one_less, **options))
    torch.testing.assert_close(alpha_bound(x, y, alpha=1.0, **options), info_nce)


@pytest.mark.parametrize("clip", [0.3, 5.0, math.inf])
@pytest.mark.parametrize("room", [1, 3 * N, 2**22])
def test_smile_is_its_formula_however_many_rows_are_held(clip, room):
    x, y, bias = critic()
    logits = x @ y.T / 2 + bias
    off = logits[~torch.eye(N).bool()].clip(-clip, clip)
    with patch.object(bands, "_SCORES", room):
        found = smile(x, y, clip=clip, score="dot", temperature=2.0, key_bias=bias)
    torch.testing.assert_close(found, logits.diagonal().mean() - off.exp().mean().log())


def test_the_ceiling_is_that_of_the_queries_the_bound_is_over():
    x, y, _ = critic()
    terms = info_nce_terms(x, y, symmetric=True)
    assert mi_ceiling(terms).item() == pytest.approx(math.log(N))
    mixed = info_nce_terms(x, y, positives=same([0, 0, 1, 2, 3, 4, 5]), exclude=same([0] * N, [1] * (N - 1) + [0]))
    assert mi_ceiling(mixed).item() == pytest.approx(math.log(N - 1))
    assert mi_ceiling(info_nce_terms(x, y, exclude=paired())).isnan()


def test_no_bound_lets_a_gradient_through_that_would_be_wrong():
    x, y = torch.randn(5, 2, requires_grad=True), torch.randn(5, 2)
    assert mi_bound(info_nce_terms(x, y)).requires_grad
    for value in (nwj(info_nce_terms(x, y)), alpha_bound(x, y, alpha=0.5), smile(x, y)):
        assert not value.requires_grad


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: alpha_bound(torch.eye(3), torch.eye(3), alpha=1.1), "`alpha` must lie between 0 and 1. Got 1.1"),
        (lambda: alpha_bound(torch.eye(2), torch.eye(2), alpha=1), "positive for each of at least 3 queries"),
        (lambda: smile(torch.eye(3), torch.eye(3)[:2]), "Got 2 keys for 3 queries"),
        (lambda: smile(torch.eye(3), torch.eye(3), clip=0), "`clip` must be positive"),
        (lambda: smile(torch.eye(3), torch.eye(3), exclude=paired()), "`exclude` must be None"),
        (lambda: smile(torch.eye(3), torch.eye(3), negatives=torch.eye(3)), "`negatives` must be None"),
    ],
)
def test_what_is_no_set_of_pairs_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
