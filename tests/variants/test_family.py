"""What holds for every variant: gradients, double backward, extremes, precision, reductions."""

import pytest
import torch

from tellapart import dense, paired, same, variants
from tests.engines import ENGINES, playing

LEVELS = [
    paired(),
    dense(torch.ones(4, 5) > 0) & ~same([0, 1, 2, 3], [0, 1, 2, 3, 0]) & ~same([0] * 4, [1, 1, 0, 0, 0]),
]
# Exact in every precision.
DRAWN = torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).bfloat16().double()
LOG_NOISE = torch.linspace(-3, -1.5, 7, dtype=torch.float64)
OTHERS = {"positives": same([0, 1, 2, 7], [0, 1, 2, 3, 0]), "exclude": same([0, 1, 2, 3], [3, 2, 9, 8, 7])}

# One configuration of each: four queries, five keys of three dimensions; two positives for one, none for another.
ENGINED = {
    "sup_con, out": lambda q, k, **o: variants.sup_con(torch.cat([q, k]), [0, 1, 2, 3, 0, 1, 2, 0, 4], **o),
    "sup_con, in": lambda q, k, **o: variants.sup_con(
        torch.cat([q, k]), [0, 1, 2, 3, 0, 1, 2, 0, 4], multi_positive="in", **o
    ),
    "mil_nce": lambda *a, **o: variants.mil_nce(*a, **OTHERS, negatives=DRAWN.to(a[0]), **o),
    "mil_nce, symmetric": lambda *a, **o: variants.mil_nce(*a, symmetric=True, **OTHERS, **o),
    "ranking": lambda q, k, temperature=0.5, **o: variants.ranking(
        q, k, levels=LEVELS, temperatures=[temperature, 2 * temperature], **o
    ),
    "label_smoothing": lambda *a, **o: variants.label_smoothing(*a, smoothing=0.2, positives=OTHERS["positives"], **o),
    "dcl": lambda *a, **o: variants.dcl(*a, symmetric=True, **OTHERS, **o),
    "dclw": lambda *a, **o: variants.dclw(*a, **OTHERS, negatives=DRAWN.to(a[0]), **o),
    "info_loob": lambda *a, **o: variants.info_loob(*a, **o),
    "debiased": lambda *a, **o: variants.debiased(*a, prior=0.05, **OTHERS, **o),
    "hard_negatives": lambda *a, **o: variants.hard_negatives(*a, prior=0.05, **OTHERS, **o),
    "log_q": lambda *a, **o: variants.log_q(*a, LOG_NOISE[:5].to(a[0]), **OTHERS, **o),
    "robust": lambda *a, **o: variants.robust(*a, symmetric=True, **OTHERS, **o),
}
BINARY = {
    "sigmoid": lambda *a, **o: variants.sigmoid(*a, bias=-1.0, **OTHERS, **o),
    "sigmoid, dense": lambda *a, **o: variants.sigmoid(*a, positives=~same([0, 1, 2, 3], [0, 1, 0, 0, 1]), **o),
    "sgns": lambda *a, **o: variants.sgns(*a, positives=OTHERS["positives"], negatives=DRAWN.to(a[0]), **o),
    "nce": lambda q, k, **o: variants.nce(q, k[:4], negatives=DRAWN.to(q), log_noise=LOG_NOISE.to(q), **o),
}
CASES = [(name, engine) for name in ENGINED for engine in ENGINES] + [(name, "tiled") for name in BINARY]
NO_SCORE = ("debiased", "hard_negatives")


def computed(name, engine, q, k, **options):
    with playing(engine) as engine_name:
        if name in BINARY:
            return BINARY[name](q, k, **options)
        return ENGINED[name](q, k, engine=engine_name, **options)


def embeddings(dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 3, dtype=torch.float64, generator=generator).to(dtype).requires_grad_() for n in (4, 5)]


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_gradients_agree_with_finite_differences_in_float64(name, engine):
    def loss(q, k):
        return computed(name, engine, q, k, temperature=0.5)

    # Entry by entry where that is quick, and else along a random direction, which has a share of every entry.
    assert torch.autograd.gradcheck(loss, embeddings(), fast_mode=engine != "dense")


@pytest.mark.parametrize("name", [name for name in {**ENGINED, **BINARY} if name != "ranking"])
def test_the_temperature_is_learned(name):
    q, k = (x.detach() for x in embeddings())
    tau = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: computed(name, "tiled", q, k, temperature=t), (tau,))


@pytest.mark.parametrize("name", ["sigmoid", "sigmoid, dense", "sgns", "nce", "mil_nce, symmetric", "hard_negatives"])
def test_double_backward_is_right(name):
    def loss(q, k):
        return computed(name, "tiled", q, k, temperature=0.5)

    assert torch.autograd.gradgradcheck(loss, embeddings(), fast_mode=True)


def test_the_bias_of_sigmoid_is_learned():
    q, k = (x.detach() for x in embeddings())
    bias = torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda b: variants.sigmoid(q, k, bias=b), (bias,))
    assert torch.autograd.gradgradcheck(lambda b: variants.sigmoid(q, k, bias=b), (bias,))


@pytest.mark.parametrize(("name", "engine"), [case for case in CASES if case[0] != "robust"])
def test_extreme_inputs_give_no_nan_or_inf(name, engine):
    """Zero vectors, duplicate rows, logits to ±1e4 and, with τ = 1e-3, to ±1e7; `robust` says that it has a range."""
    rows = torch.tensor([[0.0, 0, 0], [100.0, 0, 0], [100.0, 0, 0], [-100.0, 1e-3, 0], [0, 1e-7, 0]])
    for options in ({}, {"score": "dot"}, {"score": "dot", "temperature": 1.0}):
        if name in NO_SCORE and options:
            continue
        q, k = rows[:4].clone().requires_grad_(), rows.flip(0).clone().requires_grad_()
        loss = computed(name, engine, q, k, **({"temperature": 1e-3} | options))
        loss.backward()
        assert all(x.isfinite().all() for x in (loss, q.grad, k.grad))


@pytest.mark.parametrize("name", {**ENGINED, **BINARY})
def test_autocast_and_inputs_of_lower_precision_are_computed_in_float32(name):
    q, k = embeddings(torch.bfloat16)
    expected = computed(name, "tiled", q.float(), k.float(), temperature=0.5)
    got = computed(name, "tiled", q, k, temperature=0.5)
    assert got.dtype == expected.dtype == torch.float32
    torch.testing.assert_close(got, expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = computed(name, "tiled", q.float(), k.float(), temperature=0.5)
    torch.testing.assert_close(inside, expected)


@pytest.mark.parametrize("name", {**ENGINED, **BINARY})
def test_the_sum_is_of_the_losses_per_query_and_their_mean_over_those_with_a_positive(name):
    q, k = embeddings()
    none, total, mean = (computed(name, "dense", q, k, reduction=how) for how in ("none", "sum", "mean"))
    two_ways = name in ("dcl", "info_loob", "robust")
    torch.testing.assert_close(total, none.sum() / (2 if two_ways else 1))
    sides = none.split([4, 5]) if two_ways else [none]
    everyone = name in BINARY
    means = [side.mean() if everyone else side.sum() / (side != 0).sum() for side in sides]
    torch.testing.assert_close(mean, sum(means) / len(means))
