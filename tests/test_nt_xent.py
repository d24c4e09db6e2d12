"""NT-Xent against the papers' formula, with any number of views, and with a bank."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import nt_xent, same
from tellapart.errors import NotFiniteError
from tests import oracle
from tests.engines import ENGINES, playing


@given(
    *(st.integers(2, 4), st.integers(1, 6), st.integers(1, 5), st.floats(0.05, 10), st.integers(0, 2**32 - 1)),
    st.sampled_from(ENGINES),
)
def test_nt_xent_with_any_number_of_views_agrees_with_simclr_equation_1(v, n, d, tau, seed, engine):
    views = list(np.random.default_rng(seed).normal(size=(v, n, d)))
    with playing(engine) as name:
        got = nt_xent(*map(torch.tensor, views), temperature=tau, engine=name)
    assert got.item() == pytest.approx(oracle.nt_xent(views, tau), rel=1e-10, abs=1e-11 / tau)


@given(
    *(st.integers(2, 3), st.integers(1, 5), st.integers(0, 4), st.floats(0.05, 10), st.booleans()),
    *(st.integers(0, 2**32 - 1), st.sampled_from(ENGINES)),
)
def test_nt_xent_with_a_bank_has_its_keys_but_those_of_the_own_example(v, n, k, tau, with_ids, seed, engine):
    random = np.random.default_rng(seed)
    views, bank, bias = random.normal(size=(v, n, 3)), random.normal(size=(k, 3)), random.normal(size=v * n + k)
    ids, theirs = random.integers(0, 4, n), random.integers(0, 4, k)
    own = same(torch.tensor(ids).repeat(v), torch.tensor(theirs)) if with_ids and k else None
    with playing(engine) as name:
        got = nt_xent(
            *map(torch.tensor, views),
            negatives=torch.tensor(bank) if k else None,
            exclude_negatives=own,
            key_bias=torch.tensor(bias),
            temperature=tau,
            engine=name,
        )
    unit = np.concatenate([views.reshape(-1, 3), bank])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    losses = []
    for i in range(v * n):
        logits = unit @ unit[i] / tau + bias
        among = [
            j for j in range(v * n + k) if j != i and not (with_ids and j >= v * n and theirs[j - v * n] == ids[i % n])
        ]
        positives = [j for j in range(v * n) if j % n == i % n and j != i]
        losses.append(np.logaddexp.reduce(logits[among]) - logits[positives].mean())
    assert got.item() == pytest.approx(np.mean(losses), rel=1e-10, abs=1e-11 / tau)


@pytest.mark.parametrize("score", ["cosine", "dot"])
@pytest.mark.parametrize("engine", ["dense", "tiled"])
def test_nt_xent_names_the_view_that_is_broken_and_its_row(score, engine):
    views = [torch.eye(3), torch.eye(3)]
    views[1][2, 0] = torch.nan
    with pytest.raises(NotFiniteError, match=r"`views\[1\]` must be finite. Got nan in row 2"):
        nt_xent(*views, score=score, engine=engine)
    with pytest.raises(NotFiniteError, match="`temperature`"):
        nt_xent(torch.eye(3), torch.eye(3), temperature=torch.tensor(torch.nan), score=score, engine=engine)
    with pytest.raises(TypeError, match=r"`views\[1\]` must be a floating-point tensor"):
        nt_xent(torch.eye(3), torch.eye(3).long())


def test_nt_xent_refuses_one_view_and_unequal_views():
    with pytest.raises(ValueError, match="`views` must hold at least 2 views"):
        nt_xent(torch.eye(3))
    with pytest.raises(ValueError, match="`views` must all have the same shape"):
        nt_xent(torch.eye(3), torch.eye(3)[:2])
