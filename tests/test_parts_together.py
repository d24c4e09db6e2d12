"""Our own parts together: queues that are empty, dtypes that differ, ids of negatives, temperatures of any type."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from tellapart import InfoNCE, LearnedTemperature, dense, info_nce, info_nce_terms, nt_xent, paired, same, variants
from tellapart.errors import NotFiniteError
from tellapart.negatives import KeyQueue
from tests import oracle
from tests.engines import ENGINES, playing

rng = torch.Generator().manual_seed(0)
Q, K = (torch.randn(6, 4, dtype=torch.float64, generator=rng) for _ in range(2))
HALVES = (torch.bfloat16, torch.float16, torch.float32)


def test_the_first_step_of_a_queue_is_one_without_negatives():
    queue, ids = KeyQueue(8, 4), torch.arange(6)
    for step in range(3):
        old, old_ids = queue.read()
        given = {"negatives": old, "exclude_negatives": same(ids, old_ids)}
        module = InfoNCE(temperature=0.2)
        if not step:
            plain = info_nce(Q, K, temperature=0.2)
            for loss in (
                info_nce(Q, K, temperature=0.2, negatives=old),
                info_nce(Q, K, temperature=0.2, negatives=old, symmetric=False, engine="tiled"),
                info_nce_terms(Q, K, temperature=0.2, negatives=old.expand(6, 0, 4)).loss(),
                module(Q, K, negatives=old),
                module(Q, K, **given),
            ):
                torch.testing.assert_close(loss, plain)
            assert nt_xent(Q, K, negatives=old) == nt_xent(Q, K)
            assert variants.dcl(Q, K, negatives=old) == variants.dcl(Q, K)
        else:
            apart = (ids[:, None] == old_ids).numpy()
            assert apart.any()
            keys, out = np.concatenate([K, old]), np.concatenate([np.zeros((6, 6)), apart], axis=1)
            positive = np.concatenate([np.eye(6), np.zeros((6, len(old)))], axis=1)
            expected = oracle.info_nce(Q.numpy(), keys, positive, out, temperature=0.2)
            assert module(Q, K, **given).item() == pytest.approx(expected)
        queue.push(K + step, ids)


def test_an_empty_queue_has_the_width_of_the_keys():
    with pytest.raises(ValueError, match="`negatives` must have 4 columns"):
        info_nce(Q, K, negatives=torch.zeros(0, 3))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("of_queries", "of_keys"), list(itertools.product(HALVES, HALVES)))
def test_half_precisions_and_float32_mix(of_queries, of_keys, autocast):
    q, k, old = Q.to(of_queries), K.to(of_keys).requires_grad_(), torch.cat([Q, K]).float()
    expected = info_nce(q.double(), k.double(), negatives=old.double())
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = info_nce(q, k, negatives=old)
        excluded = info_nce(q, k, negatives=old, exclude_negatives=same([0] * 6, [1] * 12))
        views = nt_xent(q, k)
    loss.backward()
    assert (loss.dtype, k.grad.dtype) == (torch.float32, of_keys)
    for found, wanted in ((loss, expected), (excluded, expected), (views, nt_xent(q.double(), k.double()))):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "loss", [variants.dcl, variants.dclw, variants.debiased, variants.hard_negatives, variants.robust]
)
def test_ids_of_negatives_exclude_them_from_every_variant(loss):
    """An excluded negative may be any vector."""
    ids, bank_ids, bank = (
        torch.arange(6),
        torch.tensor([9, 2, 9]),
        torch.randn(3, 4, dtype=torch.float64, generator=rng),
    )
    found = [
        loss(Q, K, negatives=vectors, exclude_negatives=same(ids, bank_ids), reduction="none")
        for vectors in (bank, torch.cat([bank[:1], 3 * Q[2:3], bank[2:]]))
    ]
    apart = found[0] != found[1]
    # dclw's weights are relative to all queries' positives, and so depend on no negative.
    assert apart.tolist() == [row != 2 for row in range(6)]


def test_ids_of_negatives_are_refused_where_they_cannot_be_kept():
    given = {"negatives": torch.ones(3, 4).double(), "exclude_negatives": same([0] * 6, [1] * 3)}
    for loss in (info_nce, variants.dcl):
        with pytest.raises(
            ValueError, match=r"must be left out of a symmetric loss: take the mean of a loss of queries"
        ):
            loss(Q, K, symmetric=True, **given)


def test_what_is_advised_in_place_of_ids_of_negatives_is_the_symmetric_loss():
    bank = torch.randn(3, 4, dtype=torch.float64, generator=rng)
    advised = (info_nce(Q, K, negatives=bank) + info_nce(K, Q)) / 2
    torch.testing.assert_close(info_nce(Q, K, negatives=bank, symmetric=True), advised)


@pytest.mark.parametrize(
    "tau",
    [
        np.float64(0.25),
        np.float32(0.25),
        np.array(0.25),
        np.array([[0.25]]),
        torch.tensor([0.25]),
        torch.tensor([[0.25]]),
        nn.Parameter(torch.tensor([0.25])),
        np.full(6, 0.25),
    ],
)
def test_one_temperature_comes_in_any_shape_and_type(tau):
    losses = [
        lambda t: info_nce(Q, K, temperature=t),
        lambda t: info_nce(Q, K, temperature=t, engine="tiled"),
        lambda t: variants.hard_negatives(Q, K, temperature=t),
        lambda t: variants.dclw(Q, K, temperature=t),
        lambda t: variants.of_scores(Q, temperature=t),
    ]
    for loss in losses:
        torch.testing.assert_close(loss(tau), loss(0.25))


def test_a_temperature_of_one_entry_learns():
    tau = torch.tensor([[0.25]], dtype=torch.float64, requires_grad=True)
    scalar = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    for given in (tau, scalar):
        InfoNCE(temperature=0.1)  # a module of numbers has nothing to learn
        info_nce(Q, K, temperature=given).backward()
    assert tau.grad.item() == pytest.approx(scalar.grad.item())
    with pytest.raises(ValueError, match=r"`temperature` must be a scalar or one per query \(6,\)"):
        info_nce(Q, K, temperature=torch.ones(2))
    with pytest.raises(TypeError, match="that calling it returns"):
        info_nce(Q, K, temperature=LearnedTemperature())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("given", [{"score": "dot"}, {"score": "sqeuclidean"}, {"score": "dot", "reduction": "none"}])
def test_products_that_overflow_are_an_error_and_float64_holds_them(engine, given):
    q, k = 1e20 * Q.float(), 1e20 * K.float()
    with playing(engine) as name, pytest.raises(NotFiniteError, match=r"logits that torch.float32 can hold \(scale"):
        info_nce(q, k, engine=name, **given)
    with playing(engine) as name:
        assert info_nce(q.double(), k.double(), engine=name, **given).isfinite().all()


@pytest.mark.parametrize(
    "loss",
    [
        lambda q, k: variants.sigmoid(q, k, score="dot"),
        lambda q, k: variants.sgns(q, k, negatives=k),
        lambda q, k: variants.dcl(q, k, score="dot"),
        lambda q, k: variants.ranking(q, k, levels=[paired()], temperatures=[0.1], score="dot"),
        lambda q, _: variants.of_scores(q * 1e18, temperature=0.01),
        lambda q, k: info_nce_terms(q, k, score="dot").loss(),
        lambda q, k: info_nce(q, k, temperature=1e-39),
        lambda q, k: info_nce(q, k, margin=1e38),
    ],
)
def test_so_are_those_of_every_loss(loss):
    with pytest.raises(NotFiniteError, match="have logits that"):
        loss(1e20 * Q.float(), 1e20 * K.float())


def test_a_score_that_is_a_matrix_is_named():
    with pytest.raises(TypeError, match=r"`score` must return an InnerProduct, .* `variants.of_scores`. Got Tensor"):
        info_nce(Q, K, score=lambda q, k: q @ k.T)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_window_that_is_the_whole_batch_leaves_no_negative(symmetric):
    window = dense(torch.ones(6, 6, dtype=torch.bool))
    with pytest.raises(
        ValueError, match=r"^`positives` must leave every query a negative\. Got none for (query|key) 0"
    ):
        variants.mil_nce(Q, K, positives=window, symmetric=symmetric)
    with pytest.raises(ValueError, match=r"^`positives` must leave every query, together with `exclude`, a negative"):
        variants.dcl(Q, K, exclude=~paired())
