"""word2vec beside gensim: formats that both read, hashes of n-grams, and a loss that stays right."""

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.models.fasttext_inner import compute_ngrams, ft_hash_bytes

import tellapart
from tellapart.domains.words import read_vectors
from tellapart.domains.words.subwords import bucket, ngrams
from tests.tiny.words import WORD_OPTIONS, write_words


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    return tellapart.train("word2vec", data=write_words(folder), run=folder / "run", **WORD_OPTIONS)


@pytest.mark.parametrize("is_binary", [True, False])
def test_vectors_go_to_gensim_and_back_without_a_bit_changed(run, tmp_path, is_binary):
    name = "v.bin" if is_binary else "v.txt"
    run.export(tmp_path / name)
    theirs = KeyedVectors.load_word2vec_format(tmp_path / name, binary=is_binary)
    assert theirs.index_to_key == run.model.vocabulary.words
    assert theirs.vectors.tobytes() == run.model.table().numpy().tobytes()
    theirs.save_word2vec_format(tmp_path / f"back-{name}", binary=is_binary)
    words, vectors = read_vectors(tmp_path / f"back-{name}")
    assert words == theirs.index_to_key
    np.testing.assert_array_equal(vectors, theirs.vectors)


def test_both_answer_an_analogy_alike(run, tmp_path):
    run.export(tmp_path / "v.bin")
    theirs = KeyedVectors.load_word2vec_format(tmp_path / "v.bin", binary=True)
    expected = theirs.most_similar(positive=["cat1", "tax1"], negative=["cat2"], topn=5)
    hits = run.search("cat1 - cat2 + tax1", 5)
    assert [hit.name for hit in hits] == [word for word, _ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-5)


@pytest.mark.parametrize("word", ["cat", "née", "日本語", "a"])
def test_ngrams_and_their_hashes_are_fasttexts(word):
    assert sorted(ngrams(word, 6)) == sorted(compute_ngrams(word, 3, 6))
    for ngram in ngrams(word, 6):
        assert bucket(ngram, 2_000_000) == ft_hash_bytes(ngram.encode()) % 2_000_000
