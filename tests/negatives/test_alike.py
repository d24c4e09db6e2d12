"""Pairs too similar to count as negatives; relations/test_relations compares the relation with its matrix."""

import pytest
import torch

from tellapart import everyone, info_nce, paired, same
from tellapart.negatives import alike, guided
from tests.engines import ENGINES, playing


def whole(relation, n, m):
    return relation.tile(slice(0, n), slice(0, m))


def test_copies_tie_with_the_original_in_every_dtype():
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x = torch.randn(50, 33).to(dtype)
        x = torch.cat([x, 4 * x])
        assert (whole(alike(x, None, 1.0), 100, 100) == whole(same([*range(50)] * 2), 100, 100)).all()
        assert whole(guided(x, x), 100, 100).sum() == 100


def test_autocast_does_not_lower_the_level():
    torch.manual_seed(0)
    x, y = torch.randn(30, 8), torch.randn(40, 8)
    relation, (rows, cols) = alike(x, y, 0.5), torch.meshgrid(torch.arange(30), torch.arange(40), indexing="ij")
    expected = torch.cosine_similarity(x[:, None], y[None], dim=2) >= 0.5
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(whole(relation, 30, 40), expected)
        assert torch.equal(relation.at(rows, cols), expected)
        assert torch.equal(relation.counts(30, 40)[0], expected.sum(dim=1))


def test_a_guide_relates_what_is_as_close_as_the_closest_counterpart_and_no_counterpart():
    torch.manual_seed(0)
    g, h = torch.randn(6, 2, dtype=torch.float64), torch.randn(8, 2, dtype=torch.float64)
    positives = same([0, 0, 1, 2, 3, 9], [0, 1, 0, 1, 2, 3, 4, 4])
    cosines = torch.cosine_similarity(g[:, None], h[None], dim=2)
    related = whole(positives, 6, 8)
    for margin in (0.0, 0.3, -0.1):
        found = whole(guided(g, h, positives=positives, margin=margin), 6, 8)
        for i in range(6):
            best = max([cosines[i, j] for j in range(8) if related[i, j]], default=torch.inf)
            assert found[i].tolist() == [bool(cosines[i, j] >= best - margin and not related[i, j]) for j in range(8)]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loss_without_the_suspects_is_that_of_a_matrix_of_them(engine):
    torch.manual_seed(0)
    q, k, g, h = (torch.randn(8, 3, dtype=torch.float64) for _ in range(4))
    excluded = torch.cosine_similarity(g[:, None], h[None], dim=2)
    excluded = (excluded >= excluded.diagonal()[:, None]) & ~torch.eye(8).bool()
    logits = torch.cosine_similarity(q[:, None], k[None], dim=2) / 0.2
    expected = logits.masked_fill(excluded, -torch.inf).logsumexp(1) - logits.diagonal()
    with playing(engine) as name:
        found = info_nce(q, k, exclude=guided(g, h), temperature=0.2, reduction="none", engine=name)
    torch.testing.assert_close(found, expected)


def test_the_relation_is_symmetric_only_among_themselves_at_one_level():
    x = torch.randn(4, 2)
    assert alike(x, None, 0.5).symmetric
    assert alike(x, x, 0.5).symmetric
    assert not alike(x, x.clone(), 0.5).symmetric
    assert not alike(x, None, torch.ones(4)).symmetric


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: alike(torch.eye(2), torch.eye(3), 0.5), "`keys` must have 2 columns, as the queries. Got 3"),
        (lambda: alike(torch.eye(2), None, torch.ones(3)), r"`threshold` must be a number or one per query, \(2,\)"),
        (lambda: alike(torch.eye(2), None, float("nan")), "`threshold` must be a number. Got nan"),
        (lambda: alike(torch.eye(2), None, 0.5).check("exclude", 2, 3), "`exclude` must relate as many keys"),
        (lambda: guided(torch.eye(2), torch.eye(2), margin=float("inf")), "`margin` must be finite"),
        (lambda: guided(torch.eye(2), torch.eye(2), positives=~everyone()), "`positives` must relate at least one"),
        (lambda: guided(torch.eye(2), torch.eye(2), positives=paired() & same([1])), "as many queries"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
