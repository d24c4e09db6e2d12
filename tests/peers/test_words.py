"""word2vec's formats, phrases and measures against gensim, as installed: `make peers`."""

from pathlib import Path

import gensim
import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.models.phrases import Phrases as Phraser
from gensim.models.word2vec import LineSentence

from tellapart.domains.words import Phrases, Tokens, gather, read_vectors, write_vectors
from tellapart.domains.words.measure import analogies, read_pairs, read_questions, similarity

pytestmark = pytest.mark.filterwarnings("ignore")

TESTS = f"{gensim.__path__[0]}/test/test_data"
WORDS = ["the", "é", "new_york", "中", '"quoted"', "a,b"]


def vectors(n, d=20):
    """Numbers of all sizes, and those that are hard to print."""
    rng = np.random.default_rng(0)
    found = (rng.normal(size=(n, d)) * 10.0 ** rng.integers(-30, 30, size=(n, d))).astype(np.float32)
    found[0, :4] = [0, np.finfo(np.float32).tiny, np.float32(1e-45), np.finfo(np.float32).max]
    return found


@pytest.mark.parametrize("suffix", [".txt", ".bin", ".txt.gz", ".bin.gz"])
def test_gensim_reads_what_we_write_and_we_what_gensim_writes_to_the_bit(tmp_path, suffix):
    is_binary = ".bin" in suffix
    ours, theirs = tmp_path / f"ours{suffix}", tmp_path / f"theirs{suffix}"
    matrix = vectors(len(WORDS))
    write_vectors(ours, WORDS, matrix)
    loaded = KeyedVectors.load_word2vec_format(str(ours), binary=is_binary)
    assert loaded.index_to_key == WORDS
    assert loaded.vectors.tobytes() == matrix.tobytes()
    loaded.save_word2vec_format(str(theirs), binary=is_binary, sort_attr="none")
    words, read = read_vectors(theirs)
    assert words == WORDS
    assert read.tobytes() == matrix.tobytes()


def test_half_a_million_random_bit_patterns_survive_gensims_text(tmp_path):
    bits = np.random.default_rng(1).integers(0, 2**32, size=(5000, 100), dtype=np.uint32).view(np.float32)
    matrix = np.where(np.isfinite(bits), bits, np.float32(0))
    words = [f"w{i}" for i in range(5000)]
    write_vectors(tmp_path / "x.txt", words, matrix)
    loaded = KeyedVectors.load_word2vec_format(str(tmp_path / "x.txt"))
    assert loaded.vectors.tobytes() == matrix.tobytes()


def test_gensim_cuts_long_texts_where_we_do_not(tmp_path):
    """gensim#1509: a peer's failure, asserted so that its repair shows."""
    (tmp_path / "x").write_text("a b " * 12_000)
    assert len(list(LineSentence(str(tmp_path / "x")))) > 1
    assert len(gather(tmp_path / "x", tmp_path / "c").starts) == 2


def test_gensim_finds_the_same_phrases(tmp_path):
    """gensim's score has the number of distinct words and pairs where eq. 6 of word2phrase.c has that of all words."""
    source = f"{TESTS}/head500.noblanks.cor"
    lines = [line.lower().split() for line in Path(source).read_text(encoding="utf-8").split("\n")]
    theirs = Phraser(lines, min_count=5, threshold=10.0, scoring=score)
    expected = {word for word in theirs.export_phrases() if theirs.vocab[word] > 5}
    corpus = gather(source, tmp_path / "c", tokens=Tokens(lower=True), min_count=1, phrases=Phrases(1, 10.0, 5))
    ours = {word for word in corpus.vocabulary.words if "_" in word and word in theirs.vocab}
    assert ours <= expected
    assert len(ours) > 20
    # What gensim has beyond that is joined nowhere: an overlapping phrase to the left takes its first word each time.
    joined = {word for line in lines for word in theirs[line]}
    assert ours == expected & joined


def score(worda_count, wordb_count, bigram_count, len_vocab, min_count, corpus_word_count):  # noqa: ARG001 - gensim's
    return (bigram_count - min_count) / worda_count / wordb_count * corpus_word_count


def test_gensim_measures_the_same():
    pairs, questions = f"{TESTS}/wordsim353.tsv", f"{TESTS}/questions-words.txt"
    asked = read_questions(questions)
    words = list(dict.fromkeys(word.lower() for kind in asked.values() for row in kind for word in row))
    words += [w for w in dict.fromkeys(w.lower() for a, b, _ in read_pairs(pairs) for w in (a, b)) if w not in words][
        ::2
    ]
    matrix = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32)
    for row in asked["family"]:  # so that some answers are right
        a, b, c, d = (words.index(word.lower()) for word in row)
        matrix[d] = matrix[b] - matrix[a] + matrix[c]
    theirs = KeyedVectors(8)
    theirs.add_vectors(words, matrix)
    found = similarity(words, matrix, read_pairs(pairs))
    _, spearman, missing = theirs.evaluate_word_pairs(pairs, case_insensitive=True)
    assert found.spearman == pytest.approx(spearman.statistic, abs=1e-6)
    assert found.left_out / (found.pairs + found.left_out) * 100 == pytest.approx(missing)
    _, sections = theirs.evaluate_word_analogies(questions, case_insensitive=True)
    ours = analogies(words, matrix, asked)
    assert ours["family"].right > 0
    for section in sections[:-1]:
        kind = ours[section["section"]]
        n_right, n_wrong = len(section["correct"]), len(section["incorrect"])
        assert (kind.right, kind.asked) == (n_right, n_right + n_wrong)
