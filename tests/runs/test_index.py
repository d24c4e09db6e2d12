"""Search is exact, with ties in the order of rows; beyond many vectors an index finds what it says that it finds."""

import sys

import numpy as np
import pytest
import torch

from tellapart.runs import Gallery
from tellapart.runs.index import RECALL, Approximate, Exact, nearest_of


def unit_vectors(n, width=16, seed=0):
    drawn = torch.randn(n, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn)


@pytest.fixture
def few(monkeypatch):
    """An index is made of few vectors already."""
    pytest.importorskip("faiss")
    monkeypatch.setattr("tellapart.runs.index.MANY", 1000)


def test_exact_search_is_a_stable_sort_of_all_scores(monkeypatch):
    monkeypatch.setattr("tellapart.runs.index._SCORES", 64)  # several chunks of queries
    vectors = torch.randint(-2, 3, (40, 3), generator=torch.Generator().manual_seed(0)).float()
    queries = torch.randint(-2, 3, (7, 3), generator=torch.Generator().manual_seed(1)).float()
    for query, (scores, rows) in zip(queries, Exact(vectors)(queries, 9), strict=True):
        every = vectors @ query
        expected = every.argsort(descending=True, stable=True)[:9]
        assert rows.tolist() == expected.tolist()
        assert scores.tolist() == every[expected].tolist()


def test_a_gallery_gives_each_name_once_and_as_many_as_there_are():
    vectors = unit_vectors(30)
    names = [f"{row % 6}" for row in range(30)]
    gallery = Gallery(names, None, torch.zeros(30, dtype=torch.bool), vectors, None, None)
    for query in unit_vectors(5, seed=1):
        scores = vectors @ query
        order = list(dict.fromkeys(names[row] for row in scores.argsort(descending=True).tolist()))
        for k in (1, 4, 6, 50):
            hits = gallery.best(query, k)
            assert [hit.name for hit in hits] == order[:k]
        assert hits[0].score == pytest.approx(scores.max().item())


@pytest.mark.usefixtures("few")
def test_an_index_finds_the_share_that_it_says(tmp_path):
    """Other queries of the same kind find as many of the nearest as those that it was measured with, but for chance."""
    vectors = unit_vectors(4000)
    found = nearest_of(vectors, tmp_path / "index.npz")
    assert isinstance(found, Approximate)
    assert RECALL <= found.recall <= 1
    queries = unit_vectors(400, seed=1)
    pairs = zip(Exact(vectors)(queries, 10), found(queries, 10), strict=True)
    shares = torch.tensor([len(set(a.tolist()) & set(b.tolist())) / 10 for (_, a), (_, b) in pairs])
    error = (shares.std() * (1 / 256 + 1 / 400) ** 0.5).item()  # of the difference between two means
    assert abs(shares.mean().item() - found.recall) < 4 * error + 0.01
    assert found.index.nprobe < found.index.nlist


@pytest.mark.usefixtures("few")
def test_its_scores_are_the_inner_products_best_first(tmp_path):
    vectors, queries = unit_vectors(2000), unit_vectors(20, seed=1)
    for query, (scores, rows) in zip(queries, nearest_of(vectors, tmp_path / "x.npz")(queries, 7), strict=True):
        torch.testing.assert_close(scores, vectors[rows] @ query)
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)


@pytest.mark.usefixtures("few")
def test_the_index_is_kept_and_made_anew_for_other_vectors(tmp_path, caplog):
    place, vectors = tmp_path / "index.npz", unit_vectors(2000)
    with caplog.at_level("INFO", logger="tellapart"):
        first = nearest_of(vectors, place)
        assert "Builds an index of 2,000 vectors" in caplog.text
        assert f"approximate: it finds {first.recall:.1%} of the 10 nearest" in caplog.text
        caplog.clear()
        again = nearest_of(vectors, place)
        assert "Builds" not in caplog.text
        assert "approximate" in caplog.text
        queries = unit_vectors(5, seed=1)
        for (_, a), (_, b) in zip(first(queries, 5), again(queries, 5), strict=True):
            assert a.tolist() == b.tolist()
        assert (again.recall, again.index.nprobe) == (first.recall, first.index.nprobe)
        nearest_of(unit_vectors(2000, seed=2), place)
        assert "Builds" in caplog.text
        caplog.clear()
        place.write_bytes(b"nonsense")
        nearest_of(vectors, place)
        assert "Builds" in caplog.text


@pytest.mark.usefixtures("few")
def test_it_is_measured_with_queries_of_the_other_kind_if_there_are(tmp_path):
    """Vectors of texts lie elsewhere than those of pictures, and are harder to find by."""
    vectors, asked = unit_vectors(3000), unit_vectors(300, seed=1)
    found = nearest_of(vectors, tmp_path / "x.npz", asked)
    rows = torch.randperm(300, generator=torch.Generator().manual_seed(0))[:256]
    pairs = zip(Exact(vectors)(asked[rows], 10), found(asked[rows], 11), strict=True)
    share = np.mean([len(set(a.tolist()) & set(b.tolist()[:10])) / 10 for (_, a), (_, b) in pairs])
    assert share == pytest.approx(found.recall)


def test_without_faiss_search_is_exact_and_the_extra_is_named(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr("tellapart.runs.index.MANY", 1000)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with caplog.at_level("INFO", logger="tellapart"):
        assert isinstance(nearest_of(unit_vectors(1001), tmp_path / "x.npz"), Exact)
    assert "pip install 'tellapart[index]'" in caplog.text
    assert isinstance(nearest_of(unit_vectors(1000), tmp_path / "x.npz"), Exact)


@pytest.mark.usefixtures("few")
def test_an_index_that_cannot_be_kept_is_used_all_the_same(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert isinstance(nearest_of(unit_vectors(1500), tmp_path / "file" / "x.npz"), Approximate)
    assert "The index is not kept" in caplog.text
