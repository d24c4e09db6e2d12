"""The loss of prefixes against the plain sum of losses of prefixes that are cut and normalised by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, normalize

from tellapart import Bilinear, InfoNCE, LearnedTemperature, info_nce, nt_xent, paired, same, scores, variants
from tellapart.negatives import guided
from tellapart.variants import matryoshka
from tests import oracle
from tests.engines import ENGINES, Largest, playing


def vectors(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("engine", ENGINES)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True),
    st.sampled_from(list(oracle.SCORES)),
    st.booleans(),
    st.booleans(),
)
def test_the_value_is_the_weighted_sum_of_the_oracle_on_prefixes(engine, seed, widths, score, symmetric, weighted):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 6), rng.integers(1, 7)
    q, k, negatives = rng.normal(size=(n, 6)), rng.normal(size=(m, 6)), rng.normal(size=(3, 6))
    ids = rng.integers(0, 3, n), rng.integers(0, 3, m)
    ids[1][0] = ids[0][0]
    related = (ids[0][:, None] == ids[1]).astype(float)
    shares = rng.random(len(widths)) if weighted else np.ones(len(widths))
    more = {} if symmetric else {"negatives": negatives}
    expected = sum(
        share
        * oracle.info_nce(
            *(q[:, :w], k[:, :w], related, np.zeros_like(related, dtype=bool)),
            **{name: x[:, :w] for name, x in more.items()},
            symmetric=symmetric,
            score=score,
            temperature=0.5,
        )
        for w, share in zip(widths, shares, strict=True)
    )
    with playing(engine) as name:
        found = matryoshka(
            *(info_nce, torch.tensor(q), torch.tensor(k)),
            widths=widths,
            weights=list(shares) if weighted else None,
            positives=same(*map(torch.tensor, ids)),
            symmetric=symmetric,
            score=score,
            temperature=0.5,
            engine=name,
            **{name: torch.tensor(x) for name, x in more.items()},
        )
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("n", [40, 1100])
def test_value_and_gradients_are_those_of_the_sum_whole_and_streamed(n, symmetric, reduction):
    """Beyond 1024 queries and keys the loss is streamed."""
    widths, weights = (8, 3, 5), (1.0, 0.5, 2.0)
    q, k = (vectors(n, 9, seed).requires_grad_() for seed in (1, 2))
    tau = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)

    def plain(a, b):
        logits = a @ b.T / tau
        rows = [logits, logits.T] if symmetric else [logits]
        return torch.cat([cross_entropy(x, torch.arange(n), reduction="none") for x in rows])

    prefixes = [[normalize(x[:, :w], dim=1) for x in (q, k)] for w in widths]
    expected = sum(weight * plain(*pair) for weight, pair in zip(weights, prefixes, strict=True))
    expected = expected if reduction == "none" else expected.mean()
    options = {"temperature": tau, "symmetric": symmetric, "reduction": reduction}
    found = matryoshka(info_nce, q, k, widths=widths, weights=weights, **options)
    torch.testing.assert_close(found, expected)
    factors = torch.linspace(0.5, 1.5, found.numel(), dtype=torch.float64).view(found.shape)
    gradients = [torch.autograd.grad((loss * factors).sum(), (q, k, tau)) for loss in (found, expected)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)
    assert not gradients[0][0][:, 8:].any()


@pytest.mark.parametrize("engine", ENGINES)
def test_nt_xent_and_its_bank_are_cut_together(engine):
    views, bank = [vectors(5, 6, seed) for seed in range(3)], vectors(4, 6, 9)
    with playing(engine) as name:
        found = matryoshka(nt_xent, *views, widths=(2, 6), negatives=bank, engine=name)
        expected = sum(nt_xent(*(x[:, :w] for x in views), negatives=bank[:, :w], engine="dense") for w in (2, 6))
    torch.testing.assert_close(found, expected)


def test_negatives_of_each_query_modules_other_members_and_relations_are_taken():
    q, k, own = vectors(5, 4, 1), vectors(5, 4, 2), vectors(15, 4, 3).view(5, 3, 4)
    exclude = guided(q, k)
    module = InfoNCE(temperature=LearnedTemperature(0.1), symmetric=True)
    for loss, arguments, options in (
        (info_nce, (q, k), {"negatives": own, "exclude": exclude}),
        (module, (q.float(), k.float()), {}),
        (variants.dcl, (q, k), {"temperature": 0.3}),
        (variants.sup_con, (q,), {"labels": [0, 1, 0, 1, 1]}),
        (variants.sgns, (q, k), {"negatives": vectors(3, 4, 5)}),
    ):
        expected = sum(
            loss(
                *(x[:, :w] for x in arguments),
                **{name: x[..., :w] if name == "negatives" else x for name, x in options.items()},
            )
            for w in (1, 3)
        )
        torch.testing.assert_close(matryoshka(loss, *arguments, widths=(1, 3), **options), expected)


def test_queries_that_are_keys_are_cut_once_so_that_the_loss_sees_it():
    x, seen = vectors(4, 3), []

    def loss(queries, keys, negatives):
        seen.append((queries is keys, negatives is keys, queries.shape))
        return info_nce(queries, keys, exclude=paired() & ~paired())

    matryoshka(loss, x, x, widths=(1, 2), negatives=x)
    assert seen == [(True, True, (4, 1)), (True, True, (4, 2))]


def test_no_tensor_of_n_times_m_entries_exists():
    n = 2300
    q, k = (vectors(n, 16, seed, torch.float32).requires_grad_() for seed in (1, 2))
    with Largest() as seen:
        matryoshka(info_nce, q, k, widths=(4, 8, 16), score=scores.dot, temperature=2.0).backward()
    assert seen.numel < n * n / 3


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"widths": ()}, "`widths` must hold at least one width. Got none"),
        ({"widths": (2, 5)}, "`widths` must be whole numbers from 1 to 4, the vectors' width. Got 5"),
        ({"widths": (0,)}, "`widths` must be whole numbers from 1 to 4, the vectors' width. Got 0"),
        ({"widths": (2.5,)}, "`widths` must be whole numbers"),
        ({"widths": (2, 2)}, r"`widths` must be different. Got \[2, 2\]"),
        ({"widths": (2, 3), "weights": [1.0]}, "`weights` must hold one for each of the 2 widths. Got 1"),
        ({"widths": (2,), "weights": [-1.0]}, "`weights` must be finite and at least 0"),
        ({"widths": (2,), "score": Bilinear(4, 4)}, "`score` must take vectors of any width"),
        ({"widths": (2,), "loss": InfoNCE(score=Bilinear(4, 4))}, "`score` must take vectors of any width"),
        ({"widths": (2,), "vectors": ()}, "`vectors` must hold at least the queries"),
        ({"widths": (2,), "vectors": (torch.eye(4), torch.eye(4)[0])}, "`vectors` must have 2 dimensions"),
    ],
)
def test_what_cannot_be_cut_is_refused(given_, message):
    options = {"loss": info_nce, "vectors": (torch.eye(4), torch.eye(4))} | given_
    with pytest.raises(ValueError, match=message):
        matryoshka(options.pop("loss"), *options.pop("vectors"), **options)


def test_labels_are_no_vectors():
    with pytest.raises(TypeError, match="`vectors` must be a floating-point tensor"):
        matryoshka(variants.sup_con, torch.eye(4), torch.arange(4), widths=(2,))
