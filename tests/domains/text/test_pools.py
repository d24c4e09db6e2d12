"""Recall at 1 in pools, by cosine and by margin, beside loops."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from tellapart.domains.text import character_tfidf, found_first, in_pools
from tellapart.domains.text.pools import _Translations
from tellapart.relations import same
from tellapart.scores import unit


def vectors(n, m, seed):
    """Queries and keys that are alike, and a few hubs among the keys."""
    random = torch.Generator().manual_seed(seed)
    base = torch.randn(n, 6, generator=random, dtype=torch.float64)
    keys = torch.cat([base + 0.9 * torch.randn(n, 6, generator=random), base.mean(0).expand(m - n, 6) + 0.3])
    return unit(base + 1.0), unit(keys + 1.0)


def slowly(queries, keys, related, scoring, k):
    """Artetxe & Schwenk 2019, eq. 1 and 2, sentence by sentence."""
    cosine = queries @ keys.T
    hits = 0
    for i in range(len(queries)):
        scores = []
        for j in range(len(keys)):
            around = sum(sorted(cosine[i], reverse=True)[:k]) / (2 * min(k, len(keys)))
            around += sum(sorted(cosine[:, j], reverse=True)[:k]) / (2 * min(k, len(queries)))
            scores.append(cosine[i, j] / around if scoring == "margin" else cosine[i, j])
        rivals = [score for j, score in enumerate(scores) if not related[i, j]]
        best = max(score for j, score in enumerate(scores) if related[i, j])
        hits += all(best > score for score in rivals)
    return hits / len(queries)


@pytest.mark.parametrize("scoring", ["cosine", "margin"])
@pytest.mark.parametrize(("n", "m", "k"), [(9, 12, 4), (30, 30, 1), (3, 5, 4), (25, 40, 2)])
def test_it_is_what_loops_find(monkeypatch, n, m, k, scoring):
    monkeypatch.setattr("tellapart.domains.text.pools._CHUNK", 4)
    for seed in range(3):
        queries, keys = vectors(n, m, seed)
        ids = torch.arange(n) // 2, torch.cat([torch.arange(n) // 2, torch.full((m - n,), -1)])
        related = (ids[0][:, None] == ids[1]).numpy()
        wanted = slowly(queries.numpy(), keys.numpy(), related, scoring, k)
        assert found_first(queries, keys, same(*ids), scoring=scoring, k=k) == pytest.approx(wanted)
        if n > 5 and m > n and scoring == "cosine":
            assert wanted < 1


def test_sparse_vectors_are_compared_as_dense_ones():
    queries, keys = vectors(12, 12, 0)
    queries, keys = queries * (queries > 0), keys * (keys > 0)
    ids = torch.arange(12)
    for scoring in ("cosine", "margin"):
        dense = found_first(queries, keys, same(ids), scoring=scoring)
        sparse = found_first(csr_array(queries.numpy()), csr_array(keys.numpy()), same(ids), scoring=scoring)
        assert sparse == dense


def test_an_encoder_that_maps_all_to_one_point_finds_nothing():
    one = torch.ones(7, 2).double() / 2**0.5
    assert [found_first(one, one, same(torch.arange(7)), scoring=by) for by in ("cosine", "margin")] == [0, 0]


def test_pools_hold_so_many_pairs_and_the_mean_over_them_is_taken():
    queries, keys = vectors(50, 50, 1)
    ids = torch.arange(50), torch.arange(50)
    table = in_pools(("en", "fr"), ids, {"x": (queries, keys)}, "", pool=20)
    assert table.header[2:] == ["20, cosine", "20, margin", "all 50, cosine", "all 50, margin"]
    assert [row[:2] for row in table.rows] == [["en → fr", "chance"], ["", "x"], ["fr → en", "chance"], ["", "x"]]
    assert table.rows[0][2:] == pytest.approx([1 / 20, 1 / 20, 1 / 50, 1 / 50])
    dealt = np.random.default_rng(0).permutation(50)
    for row, (q, k) in ((1, (queries, keys)), (3, (keys, queries))):
        pools = [found_first(q[part], k[part], same(torch.arange(20))) for part in (dealt[:20], dealt[20:40])]
        assert table.rows[row][2] == pytest.approx(sum(pools) / 2)
        assert table.rows[row][4] == found_first(q, k, same(ids[0]))


def test_fewer_pairs_than_fill_a_pool_are_one():
    queries, keys = vectors(20, 20, 1)
    table = in_pools(("en", "fr"), (torch.arange(20),) * 2, {"x": (queries, keys)}, "", pool=20)
    assert table.header[2:] == ["all 20, cosine", "all 20, margin"]


def test_either_of_two_sentences_that_say_the_same_will_do():
    keys = torch.eye(4).double()
    queries, sources = keys[[1, 0, 2, 3]], torch.tensor([5, 5, 6, 7])
    for ids in ((sources, torch.arange(4)), (torch.arange(4), sources)):
        assert in_pools(("a", "b"), ids, {"x": (queries, keys)}, "").rows[1][2] == 1


def test_what_a_translation_says_will_do_in_another_row_too():
    """Pairs (A, t1), (A, t2), (B, t2): t2 in the third row is as good a translation of A as in the second."""
    ids = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    a, t1, t2, b = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.8, 0.6]]).double()
    vectors = torch.stack([a, a, b]), torch.stack([t1, t2, t2])
    there, back = (in_pools(("a", "b"), ids, {"x": vectors}, "").rows[row][2] for row in (1, 3))
    assert there == 1
    assert back == pytest.approx(2 / 3)  # t1 finds B, which is none of its translations


def test_who_is_whose_translation_is_what_a_loop_finds():
    random = np.random.default_rng(0)
    for n in (1, 7, 40):
        ids = tuple(torch.from_numpy(random.integers(0, 9, 60)) for _ in range(2))
        rows = random.permutation(60)[:n]
        known = {(int(ids[0][i]), int(ids[1][i])) for i in rows}
        wanted = torch.tensor([[(int(ids[0][i]), int(ids[1][j])) in known for j in rows] for i in rows])
        relation = _Translations(ids, rows)
        for part in (slice(0, n), slice(n // 3, n // 2 + 1)):
            assert torch.equal(relation.tile(part, slice(0, n)), wanted[part])
            places = torch.arange(n)
            assert torch.equal(relation.at(places[part][:, None], places), wanted[part])
        relation.check("relevant", n, n)
        with pytest.raises(ValueError, match="`relevant` must relate as many keys"):
            relation.check("relevant", n, n + 1)


@pytest.mark.parametrize(("option", "value"), [("scoring", "dot"), ("k", 0)])
def test_an_option_that_cannot_be_is_refused(option, value):
    with pytest.raises(ValueError, match=f"`{option}` must"):
        found_first(torch.eye(3), torch.eye(3), same(torch.arange(3)), **{option: value})


def test_tfidf_takes_sentences_of_one_letter_and_of_none_it_knows():
    first, second = character_tfidf(["a", "the parliament", "!"], ["小", "le parlement", "x"])
    lengths = np.asarray((first.multiply(first)).sum(axis=1)).ravel()
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    assert found_first(first, second, same(torch.arange(3)), scoring="margin") == pytest.approx(1 / 3)
