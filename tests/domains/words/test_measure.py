"""Similarity, analogies and synonyms, against loops over single words."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from tellapart import InputError
from tellapart.domains.words import measure
from tellapart.domains.words.measure import (
    Analogies,
    analogies,
    in_two,
    read_pairs,
    read_questions,
    similarity,
    synonyms,
)

WORDS = [f"w{i}" for i in range(60)]
VECTORS = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)


def cosine(a, b):
    a, b = (VECTORS[WORDS.index(word)].astype(float) for word in (a, b))
    return a @ b / math.sqrt((a @ a) * (b @ b))


def test_similarity_is_spearmans_correlation_over_the_pairs_with_vectors():
    rng = np.random.default_rng(2)
    pairs = [(*rng.choice(WORDS, 2), float(rng.integers(10))) for _ in range(40)]
    expected = spearmanr([cosine(a, b) for a, b, _ in pairs], [score for *_, score in pairs]).statistic
    found = similarity(WORDS, VECTORS, [*pairs, ("w1", "unknown", 5.0)])
    assert found.spearman == pytest.approx(expected, abs=1e-6)
    assert (found.pairs, found.left_out) == (40, 1)


@pytest.mark.parametrize("pairs", [[], [("x", "y", 1.0)], [("w1", "w2", 1.0)], [("w1", "w2", 3.0), ("w3", "w4", 3.0)]])
def test_a_correlation_that_is_not_defined_is_nan(pairs):
    assert math.isnan(similarity(WORDS, VECTORS, pairs).spearman)


def test_words_are_looked_up_in_small_letters_if_not_as_they_are():
    words = ["athens", "Greece", "greece"]
    pairs = [("Athens", "Greece", 1.0), ("ATHENS", "GREECE", 2.0), ("athens", "Sparta", 2.0)]
    found = similarity(words, np.eye(3, dtype=np.float32), pairs)
    assert (found.pairs, found.left_out) == (2, 1)


@pytest.mark.parametrize("scores", [1, 200, 2**24])
def test_analogies_are_answered_as_by_a_loop_in_blocks_of_any_size(monkeypatch, scores):
    monkeypatch.setattr(measure, "_SCORES", scores)
    rng = np.random.default_rng(3)
    units = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    asked, n_right = [], 0
    for i in range(30):
        a, b, c, d = rng.choice(60, 4, replace=False)
        target = units[b] - units[a] + units[c]
        answer = max((float(units[w] @ target), w) for w in range(60) if w not in (a, b, c))[1]
        d = answer if i % 3 == 0 else d
        n_right += answer == d
        asked.append(tuple(WORDS[w] for w in (a, b, c, d)))
    found = analogies(WORDS, VECTORS, {"capital": asked, "gram1": [("w1", "w2", "w3", "none")], "none": []})
    assert found["capital"] == Analogies(n_right, 30, 0)
    assert found["capital"].share == n_right / 30
    assert found["gram1"] == Analogies(0, 0, 1)
    assert math.isnan(found["none"].share)


def test_kinds_whose_names_begin_with_gram_are_syntactic():
    found = {"family": Analogies(1, 2, 3), "gram1": Analogies(10, 20, 30), "gram2": Analogies(1, 1, 0)}
    assert in_two(found) == (Analogies(1, 2, 3), Analogies(11, 21, 30))
    assert in_two({}) == (Analogies(0, 0, 0), Analogies(0, 0, 0))


def test_synonyms_are_measured_against_words_of_like_frequency_that_are_no_synonyms(monkeypatch):
    drawn = []

    def spy(*arguments):
        drawn.append(original(*arguments))
        return drawn[-1]

    original = measure._of_like_frequency
    monkeypatch.setattr(measure, "_of_like_frequency", spy)
    rng = np.random.default_rng(4)
    pairs = [tuple(WORDS[i] for i in rng.choice(60, 2, replace=False)) for _ in range(50)]
    alike = {frozenset(pair) for pair in pairs}
    found = synonyms(WORDS, VECTORS, [*pairs, ("w1", "none"), ("w1", "w1")], seed=7)
    assert (found.pairs, found.left_out) == (50, 2)
    others = [WORDS[i] for i in drawn[0]]
    for (a, b), other in zip(pairs, others, strict=True):
        assert frozenset((a, other)) not in alike
        assert other != a
        assert abs(WORDS.index(other) - WORDS.index(b)) <= max(5, 0.1 * WORDS.index(b))
    scores = [cosine(a, b) for a, b in pairs], [cosine(a, other) for (a, _), other in zip(pairs, others, strict=True)]
    assert found.auc == pytest.approx(roc_auc_score([1] * 50 + [0] * 50, np.concatenate(scores)), abs=1e-6)
    assert synonyms(WORDS, VECTORS, pairs, seed=7).auc == found.auc
    assert synonyms(WORDS, VECTORS, pairs, seed=8).auc != found.auc


def test_the_words_drawn_are_all_that_are_open_about_equally_often():
    pairs, draws = [(0, 3), (0, 5)], 4000
    first = [measure._of_like_frequency(pairs, 10, seed, 0.1)[0] for seed in range(draws)]
    counts = np.bincount(first, minlength=10)
    assert set(np.flatnonzero(counts)) == {1, 2, 4, 6, 7, 8}  # neither 0 itself nor its synonyms 3 and 5; 8 = 3 + 5
    assert np.abs(counts[[1, 2, 4, 6, 7, 8]] - draws / 6).max() < 5 * math.sqrt(draws / 6)


def test_a_word_without_another_of_like_frequency_is_left_out():
    found = synonyms(["a", "b", "c"], np.eye(3, dtype=np.float32), [("a", "b"), ("a", "c")])
    assert math.isnan(found.auc)
    assert (found.pairs, found.left_out) == (0, 2)


def test_a_zero_vector_has_cosine_zero():
    vectors = np.array([[0, 0], [1, 0], [1, 1], [-1, 0]], np.float32)
    found = similarity(list("abcd"), vectors, [("a", "b", 2.0), ("b", "c", 3.0), ("b", "d", 1.0)])
    assert found.spearman == pytest.approx(1)


def test_pairs_are_read_with_tabs_or_commas_comments_and_column_names(tmp_path):
    for text in ("# WordSim\nword1\tword2\tmean\ncat\tdog\t7.5\n\nnew york\tcar\t1\n", "cat,dog,7.5\nnew york,car,1\n"):
        (tmp_path / "x").write_text(text)
        assert read_pairs(tmp_path / "x") == [("cat", "dog", 7.5), ("new york", "car", 1.0)]


def test_questions_are_read_by_kind(tmp_path):
    (tmp_path / "x").write_text("a b c d\n: capital\nAthens Greece Oslo Norway\n: gram1\n\nbig bigger old older\n")
    assert read_questions(tmp_path / "x") == {
        "all": [("a", "b", "c", "d")],
        "capital": [("Athens", "Greece", "Oslo", "Norway")],
        "gram1": [("big", "bigger", "old", "older")],
    }


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_pairs, b"a\tb\n", "x line 1: not two words and a score"),
        (read_pairs, b"a\tb\t1\nc\td\tx\n", "x line 2: not two words and a score"),
        (read_pairs, b"a\xff\tb\t1\n", "x: cannot be read as UTF-8 text"),
        (read_questions, b"a b c\n", "x line 1: 3 words. There must be 4, or a colon and a name"),
        (read_questions, b"\xff", "x: cannot be read as UTF-8 text"),
    ],
)
def test_a_line_of_another_kind_is_named(tmp_path, read, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "x")
    with pytest.raises(InputError, match="there is no such file"):
        read(tmp_path / "y")
