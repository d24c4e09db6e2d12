"""MoCo's own decisions: who stands in a line-up with a queue, and what follows what."""

import numpy as np
import pytest
import torch

from tellapart import InputError
from tellapart.domains.pictures import ImageShape, load_pictures
from tellapart.systems.moco import Batch, Config, MoCo, Queries, after_step, candidates, momentum_at, prepare, terms
from tests import oracle
from tests.tiny.pictures import MOCO_OPTIONS, write_patterns

FORM = ImageShape(16, 3)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return load_pictures(str(write_patterns(tmp_path_factory.mktemp("patterns"), 12)))


def config(**options):
    return Config(**MOCO_OPTIONS | options)


def batch_of(pictures, *rows):
    ids = torch.tensor(rows)
    return Batch(pictures.rows(ids), ids)


def a_step(model, batch, progress=0.0):
    queries = prepare(model, batch)
    after_step(model, queries, progress)
    return queries


def matrix(relation, n, m):
    return relation.tile(slice(0, n), slice(0, m)).bool().numpy()


@pytest.mark.parametrize("symmetric", [True, False])
def test_7_no_old_key_of_a_picture_stands_in_its_own_line_up(pictures, symmetric):
    """PEERS 7, by construction: one picture comes again and again, and its old keys fill the queue."""
    model = MoCo(config(batch_size=4, symmetric=symmetric, queue=20), FORM)
    for others in ((1, 2), (3, 4), (5, 6)):
        a_step(model, batch_of(pictures, 0, *others))
    queries = prepare(model, batch_of(pictures, 0, 7, 8))
    keys, positives, exclude = candidates(model, queries)
    n, m, n_new = len(queries.views), len(keys), len(queries.keys)
    old_ids = model.queue.read()[1]
    views = 2 if symmetric else 1
    assert (old_ids == 0).sum() == 3 * views
    own_old = torch.cat([torch.zeros(n_new, dtype=torch.bool), old_ids == 0]).numpy()
    for query in np.flatnonzero(queries.ids.numpy() == 0):
        assert matrix(exclude, n, m)[query][own_old].all()
        assert not matrix(positives, n, m)[query][own_old].any()
    found = terms(model, queries)
    in_batch = n_new - symmetric  # all but the key of the very same view
    expected = [in_batch + len(old_ids) - (3 * views if i == 0 else 0) for i in queries.ids.tolist()]
    assert found.n_candidates.tolist() == expected


def test_the_counterpart_is_the_key_of_the_other_view_alone(pictures):
    model = MoCo(config(), FORM)
    a_step(model, batch_of(pictures, 0, 1, 2))
    queries = prepare(model, batch_of(pictures, 1, 2, 3))
    keys, positives, exclude = candidates(model, queries)
    assert np.argwhere(matrix(positives, 6, len(keys))).tolist() == [[0, 3], [1, 4], [2, 5], [3, 0], [4, 1], [5, 2]]
    old = model.queue.read()[1].tolist()
    gone = [{i} | {6 + j for j, whose in enumerate(old) if whose == queries.ids[i]} for i in range(6)]
    assert [set(np.flatnonzero(row)) for row in matrix(exclude, 6, len(keys))] == gone


@pytest.mark.parametrize("symmetric", [True, False])
def test_its_objective_is_the_oracles(pictures, symmetric):
    model = MoCo(config(symmetric=symmetric, temperature=0.3), FORM).eval()
    a_step(model, batch_of(pictures, 0, 1, 2, 3))
    queries = prepare(model, batch_of(pictures, 3, 4, 5))
    keys, positives, exclude = candidates(model, queries)
    with torch.no_grad():
        q = model.network(queries.views).double().numpy()
        got = terms(model, queries).loss().item()
    n, m = len(q), len(keys)
    weights, gone = matrix(positives, n, m).astype(float), matrix(exclude, n, m)
    assert got == pytest.approx(oracle.info_nce(q, keys.double().numpy(), weights, gone, temperature=0.3), rel=1e-5)


def test_only_the_network_learns_and_the_slow_one_follows(pictures):
    model = MoCo(config(), FORM)
    queries = prepare(model, batch_of(pictures, 0, 1, 2, 3))
    terms(model, queries).loss().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.network.parameters())
    assert all(p.grad is None and not p.requires_grad for p in model.slow.parameters())
    before = [p.clone() for p in model.slow.parameters()]
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(1.0)
    after_step(model, queries, 0.0)
    for old, now in zip(before, model.slow.parameters(), strict=True):
        torch.testing.assert_close(now, old + 0.1)  # 1 − momentum of the way


def test_the_momentum_rises_from_where_it_starts_to_one():
    found = [momentum_at(t, 0.9) for t in np.linspace(0, 1, 11)]
    assert found[0] == pytest.approx(0.9)
    assert found[5] == pytest.approx(0.95)
    assert found[-1] == 1
    assert found == sorted(found)


def test_the_last_step_leaves_the_slow_network_as_it_is(pictures):
    model = MoCo(config(), FORM)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(1.0)
    before = [p.clone() for p in model.slow.parameters()]
    a_step(model, batch_of(pictures, 0, 1), progress=1.0)
    assert all(torch.equal(old, now) for old, now in zip(before, model.slow.parameters(), strict=True))


def test_the_queue_holds_the_last_keys_and_whose_they_are(pictures):
    model = MoCo(config(batch_size=4, queue=8), FORM)
    first = a_step(model, batch_of(pictures, 0, 1, 2))
    second = a_step(model, batch_of(pictures, 3, 4, 5))
    keys, ids = model.queue.read()
    assert sorted(ids.tolist()) == [1, 2, 3, 3, 4, 4, 5, 5]
    kept = torch.cat([first.keys, second.keys])[-8:]
    torch.testing.assert_close(keys.sum(0), kept.sum(0))


def test_keys_are_made_without_gradient_and_terms_changes_nothing(pictures):
    model = MoCo(config(), FORM)
    a_step(model, batch_of(pictures, 0, 1, 2))
    queries = prepare(model, batch_of(pictures, 3, 4))
    assert isinstance(queries, Queries)
    assert not queries.keys.requires_grad
    before = {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("network")}
    terms(model, queries)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


def test_queue_and_slow_network_are_saved_with_the_model():
    names = set(MoCo(config(), FORM).state_dict())
    assert {"queue.keys", "queue.ids", "queue.pushed", "slow.encoder.first.weight", "slow.head.1.running_mean"} <= names


def test_a_queue_must_hold_the_keys_of_a_batch():
    assert config(queue=24, symmetric=False).queue == 24
    with pytest.raises(InputError, match=r"`queue` must lie between 48, the keys of one batch, and 1048576\. Got 24"):
        config(queue=24)
