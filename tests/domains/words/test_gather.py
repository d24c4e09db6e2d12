"""Text becomes ids as a few loops would have it, whatever the sizes of blocks and chunks."""

import gzip
import math
import os
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tellapart import InputError, reading
from tellapart.domains.words import Corpus, Phrases, Tokens, gather
from tellapart.domains.words.lexicon import Lexicon
from tellapart.domains.words.reading import read_blocks
from tellapart.domains.words.vocabulary import Vocabulary
from tests.domains.words import oracle

TEXT = "the cat sat\n\nthe dog sat on the mat\nthe  cat\tand the dog\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def sentences(corpus):
    """The words of each sentence."""
    words = corpus.vocabulary.words
    bounds = zip(corpus.starts[:-1], corpus.starts[1:], strict=True)
    return [[words[i] for i in corpus.ids[low:high]] for low, high in bounds]


def vocabulary(corpus):
    return list(zip(corpus.vocabulary.words, corpus.vocabulary.counts.tolist(), strict=True))


# Capitals that change their length, spaces beyond ASCII, control characters that are spaces, and what is no letter.
letters = st.sampled_from([*"aab\u0062cA\u0130Sé\u4e2d\u03a31_'", "e\u0301", "_"])
spaces = st.sampled_from([" ", " ", "\n", "\n", "  ", "\t", "\r\n", "\x0b", "\x1f", "\x85", "\xa0", "\u2003", "\u3000"])
texts = st.lists(st.one_of(letters, spaces), max_size=60).map(
    lambda parts: "".join(parts) + " x y x y x y"
)  # so that two words are frequent


@given(texts, st.booleans(), st.booleans(), st.booleans(), st.integers(1, 3), st.integers(1, 40), st.integers(1, 9))
def test_any_text_is_cut_and_counted_as_by_hand_in_blocks_and_chunks_of_any_size(
    text, mark, lower, letters, min_count, block, chunk
):
    lines = oracle.cut(text, lower, letters)
    expected, words = oracle.without_rare(lines, min_count)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "x.txt", ("\ufeff" if mark else "") + text)
        tokens = Tokens(lower=lower, letters=letters)
        corpus = gather(path, Path(folder) / "c", tokens=tokens, min_count=min_count, block=block, chunk=chunk)
        assert sentences(corpus) == expected
        assert vocabulary(corpus) == words
        found = corpus.found
    n_words = sum(map(len, lines))
    assert (found.lines, found.empty_lines) == (len(lines), sum(not line for line in lines))
    assert (found.tokens, found.rare_tokens) == (n_words, n_words - sum(n for _, n in words))
    assert (found.distinct, found.rare_words) == (
        len(distinct := {w for x in lines for w in x}),
        len(distinct) - len(words),
    )


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.sampled_from("aabbcd"), max_size=9), max_size=9),
    st.integers(1, 3),
    st.integers(1, 3),
    st.floats(0.1, 5.0),
    st.integers(0, 2),
    st.integers(1, 9),
)
def test_phrases_are_those_of_eq_6_joined_from_left_to_right_in_chunks_of_any_size(
    lines, min_count, passes, threshold, discount, chunk
):
    joined, known = oracle.joined(lines, min_count, passes, threshold, discount)
    expected, words = oracle.without_rare(joined, min_count)
    assume(len(known) > 1 and len(words) > 1)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "x.txt", "\n".join(map(" ".join, lines)))
        options = Phrases(passes, threshold, discount)
        corpus = gather(path, Path(folder) / "c", min_count=min_count, phrases=options, chunk=chunk)
        assert sentences(corpus) == expected
        assert vocabulary(corpus) == words
        assert corpus.found.phrases == sum("_" in word for word, _ in words)
        assert corpus.found.rare_tokens + len(corpus.ids) == sum(map(len, joined))


def test_new_york_is_a_phrase_and_new_car_is_none(tmp_path):
    line = "new york is a new city and new cars are in a city"
    text = "\n".join([*[line] * 30, *["a new car"] * 4, *["york is new"] * 4])
    corpus = gather(write(tmp_path / "x", text), tmp_path / "c", phrases=Phrases(threshold=3.0))
    assert "new_york" in corpus.vocabulary
    assert "new_car" not in corpus.vocabulary
    again = gather(tmp_path / "x", tmp_path / "c", phrases=Phrases(threshold=1e6))
    assert again.found.phrases == 0
    assert "Joined" not in " ".join(again.found.notes())


def test_a_phrase_that_is_spelt_as_a_word_of_the_text_is_that_word(tmp_path):
    text = "\n".join(["new york"] * 3 + ["new_york"] * 2 + ["p q r s"] * 20)
    corpus = gather(write(tmp_path / "x", text), tmp_path / "c", min_count=2, phrases=Phrases(1, 4.0, 0))
    assert dict(vocabulary(corpus))["new_york"] == 5


def test_a_rare_word_between_two_others_keeps_them_apart(tmp_path):
    text = "\n".join(f"a {i} b" for i in range(9)) + "\nc d" * 9
    corpus = gather(write(tmp_path / "x", text), tmp_path / "c", phrases=Phrases(1, 0.5, 0))
    assert vocabulary(corpus) == [("a", 9), ("b", 9), ("c_d", 9)]


@pytest.mark.parametrize("wrong", [{"passes": 0}, {"threshold": 0.0}, {"threshold": math.nan}, {"discount": -1}])
def test_an_option_of_phrases_out_of_its_range_is_named(tmp_path, wrong):
    with pytest.raises(InputError, match=rf"`{next(iter(wrong))}` must be"):
        gather(write(tmp_path / "x", TEXT), tmp_path / "c", min_count=1, phrases=Phrases(**wrong))


def test_a_file_a_gzipped_file_and_a_folder_of_its_parts_give_the_same(tmp_path):
    whole = gather(write(tmp_path / "x", TEXT), tmp_path / "1", min_count=1)
    packed = gather(write(tmp_path / "x.data", gzip.compress(TEXT.encode())), tmp_path / "2", min_count=1)
    head, tail = TEXT.split("\n\n")
    write(tmp_path / "parts" / "1.txt", head)
    write(tmp_path / "parts" / "deep" / "2.gz", gzip.compress(tail.encode()))
    write(tmp_path / "parts" / ".hidden" / "3.txt", "hidden words")
    write(tmp_path / "parts" / ".4.txt", "hidden words")
    parts = gather(tmp_path / "parts", tmp_path / "3", min_count=1)
    assert sentences(whole) == sentences(packed) == sentences(parts)
    assert whole.fingerprint == packed.fingerprint
    assert (whole.found.files, parts.found.files) == (1, 2)
    assert (whole.found.empty_lines, parts.found.empty_lines) == (1, 0)


def test_links_are_followed_once_and_a_loop_of_links_ends(tmp_path):
    write(tmp_path / "text" / "x.txt", "a b")
    elsewhere = write(tmp_path / "elsewhere" / "y.txt", "c d").parent
    (tmp_path / "text" / "loop").symlink_to(tmp_path / "text")
    (tmp_path / "text" / "other").symlink_to(elsewhere)
    (tmp_path / "text" / "again").symlink_to(elsewhere)
    (tmp_path / "text" / "z.txt").symlink_to(tmp_path / "text" / "x.txt")
    (tmp_path / "text" / "broken").symlink_to(tmp_path / "nowhere")
    corpus = gather(tmp_path / "text", tmp_path / "c", min_count=1)
    assert sorted(sentences(corpus)) == [["a", "b"], ["c", "d"]]


def test_a_sentence_of_more_than_10000_words_is_not_cut(tmp_path):
    """gensim cuts it there, and says nothing (gensim#1509)."""
    corpus = gather(write(tmp_path / "x", "a b " * 12_000), tmp_path / "c", block=1000)
    assert corpus.starts.tolist() == [0, 24_000]


def test_words_that_are_equally_frequent_are_in_the_order_of_their_letters(tmp_path):
    corpus = gather(write(tmp_path / "x", "b a c a b c d d d é é é"), tmp_path / "c", min_count=2)
    assert corpus.vocabulary.words == ["d", "é", "a", "b", "c"]


@pytest.mark.parametrize("size", [10_000, 10_000_000])
def test_text_without_white_space(tmp_path, size):
    path = write(tmp_path / "x", b"a b\na b " + b"x" * size + b" c")
    if size < 2**20:
        assert gather(path, tmp_path / "c", min_count=1).found.distinct == 4
        return
    for block in (2**16, 2**24):
        with pytest.raises(InputError, match=r"x line 2: more than 1 MiB without white space\. Put spaces between"):
            gather(path, tmp_path / "c", min_count=1, block=block)
        assert not (tmp_path / "c").exists()


def test_a_megabyte_of_spaces_is_no_word(tmp_path):
    corpus = gather(write(tmp_path / "x", b"a" + b" " * 2**21 + b"b\nb"), tmp_path / "c", min_count=1)
    assert sentences(corpus) == [["a", "b"], ["b"]]


MISTAKES = {
    "no such file": (None, {}, r"x: there is no such file or folder"),
    "empty": (b"", {}, r"x: holds no words"),
    "blank": (b" \n\n\t", {}, r"x: holds no words"),
    "not UTF-8": (b"a b\nb\xff a", {}, r"x line 2: not UTF-8\. Save the file as UTF-8"),
    "UTF-16": ("a b".encode("utf-16"), {}, r"x line 1: holds a zero byte, so it is not a text"),
    "a zero byte": (b"a b\n\na \0 b", {}, r"x line 3: holds a zero byte, so it is not a text"),
    "half a gzipped file": (
        gzip.compress(os.urandom(999).hex().encode())[:500],
        {},
        r"x: truncated or damaged\. Fetch",
    ),
    "a spoilt gzipped file": (gzip.compress(b"a b")[:-8] + bytes(8), {}, r"x: truncated or damaged"),
    "all words rare": (
        b"a b a",
        {"min_count": 5},
        r"`min_count` must be at most 2, as often as the most frequent word occurs in .*x\. Got 5",
    ),
    "a single word": (b"a b a", {"min_count": 2}, r"x: 'a' alone occurs 2 times \(`min_count`\)\. At least 2 words"),
    "min_count": (b"a b", {"min_count": 0}, r"`min_count` must be at least 1\. Got 0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("block", [3, 2**24])
def test_a_mistake_is_one_line_that_names_the_place_and_leaves_nothing(tmp_path, mistake, block):
    content, options, message = MISTAKES[mistake]
    if content is not None:
        write(tmp_path / "x", content)
    with pytest.raises(InputError, match=message) as error:
        gather(tmp_path / "x", tmp_path / "c", **{"min_count": 1, "block": block} | options)
    assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"x"}


def test_a_folder_without_files_is_named(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="x: no files in the folder"):
        gather(tmp_path / "x", tmp_path / "c")


def test_a_file_of_another_kind_in_a_folder_is_named(tmp_path):
    write(tmp_path / "x" / "a.txt", TEXT)
    write(tmp_path / "x" / "b.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    with pytest.raises(InputError, match=r"b\.png: a PNG picture, not a text"):
        gather(tmp_path / "x", tmp_path / "c")
    with reading.accounted() as account:
        gather(tmp_path / "x", tmp_path / "c", min_count=1)
    assert account.counts == {"file that is no text": 1}


@pytest.mark.parametrize("block", [40, 2**24])
def test_lines_that_are_no_text_are_left_out_and_counted_or_stop(tmp_path, block):
    lines = [b"a b a", b"caf\xe9 a b", "é b a".encode(), b"a \0 b", b"b a"]
    path = write(tmp_path / "x", b"\n".join(lines))
    with reading.accounted() as account:
        corpus = gather(path, tmp_path / "c", min_count=1, block=block)
    assert sentences(corpus) == [["a", "b", "a"], ["é", "b", "a"], ["b", "a"]]
    assert account.places() == [("line that is no text", f"{path} line {i}") for i in (2, 4)]
    with reading.accounted("stop"), pytest.raises(InputError, match="x line 2: not UTF-8"):
        gather(path, tmp_path / "d", min_count=1, block=block)


def test_a_text_most_lines_of_which_are_no_text_is_refused(tmp_path):
    path = write(tmp_path / "x", "un été\ndéjà vu\na b\n".encode("latin-1"))
    with reading.accounted(), pytest.raises(InputError, match=r"x line 1: not UTF-8.*1 more"):
        gather(path, tmp_path / "c", min_count=1)


def test_a_folder_with_something_else_is_not_written_over(tmp_path):
    kept = write(tmp_path / "c" / "thesis.tex", "mine")
    with pytest.raises(InputError, match="is not a corpus that was read before"):
        gather(write(tmp_path / "x", TEXT), tmp_path / "c", min_count=1)
    assert kept.read_text() == "mine"


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tellapart.domains.words.ids.Writer.add", fail)
    with pytest.raises(InputError, match="cannot write, the disk is full"):
        gather(write(tmp_path / "x", TEXT), tmp_path / "c", min_count=1)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_corpus_is_opened_as_it_was_gathered_and_what_a_kill_left_is_cleared(tmp_path):
    write(tmp_path / "c.partial" / "read" / "ids.i32", "half")
    made = gather(write(tmp_path / "x", TEXT), tmp_path / "c", min_count=2)
    opened = Corpus.open(tmp_path / "c")
    assert sentences(opened) == sentences(made)
    assert vocabulary(opened) == vocabulary(made)
    assert (opened.found, opened.fingerprint) == (made.found, made.fingerprint)
    assert {path.name for path in tmp_path.iterdir()} == {"x", "c"}
    assert made.found.notes() == [
        "Read 14 words in 4 lines of 1 file; 1 line held none.",
        "Left out 3 of 7 distinct words, which are too rare, and so 21.4% of the text.",
    ]


@pytest.mark.parametrize("file", ["ids.i32", "starts.i64", "vocabulary.parquet", "corpus.json"])
@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-5])])
def test_a_corpus_with_a_file_lost_or_cut_short_is_not_opened(tmp_path, file, spoil):
    gather(write(tmp_path / "x", TEXT), tmp_path / "c", min_count=2)
    spoil(tmp_path / "c" / file)
    with pytest.raises(InputError, match="missing or damaged"):
        Corpus.open(tmp_path / "c")


def test_a_text_that_changes_by_a_letter_or_a_file_has_another_fingerprint(tmp_path):
    made = [
        gather(write(tmp_path / str(i) / "x", text).parent, tmp_path / f"c{i}", min_count=1).fingerprint
        for i, text in enumerate(["a b c\nd", "a b c\ne", "a b\nc d"])
    ]
    write(tmp_path / "3" / "x", "a b c\n")
    write(tmp_path / "3" / "y", "d")
    made.append(gather(tmp_path / "3", tmp_path / "c3", min_count=1).fingerprint)
    assert len(set(made)) == 4


def test_with_too_many_distinct_words_the_frequent_ones_are_counted_and_the_doubt_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("tellapart.domains.words.gather"), "MOST_WORDS", 10)
    text = "\n".join(f"often frequent rare{i}" for i in range(50))
    corpus = gather(write(tmp_path / "x", text), tmp_path / "c", min_count=5, block=100)
    assert vocabulary(corpus) == [("frequent", 50), ("often", 50)]
    assert corpus.found.unsure_words > 0
    assert "Too many distinct words to count exactly" in corpus.found.notes()[-1]


def test_no_word_that_is_forgotten_occurred_more_often_than_is_told():
    import pyarrow as pa

    rng, lexicon = np.random.default_rng(0), Lexicon(most=20)
    words = [f"w{n}" for n in rng.zipf(1.5, 2000)]
    for low in range(0, len(words), 100):
        lexicon.encode(pa.array(words[low : low + 100]))
    for word in set(words):
        counted = lexicon.counts[lexicon.ids[word]] if word in lexicon.ids else 0
        assert words.count(word) - lexicon.floor * (2000 // 100) <= counted <= words.count(word)
    assert lexicon.floor > 0


def test_with_too_many_pairs_frequent_phrases_are_found_and_the_doubt_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("tellapart.domains.words.phrases.MOST_PAIRS", 4)
    rng = np.random.default_rng(0)
    noise = [" ".join(rng.permutation(list("abcdef"))) for _ in range(60)]
    corpus = gather(
        write(tmp_path / "x", "\n".join(f"{x} new york" for x in noise)),
        tmp_path / "c",
        chunk=40,
        phrases=Phrases(1, 3.0, 5),
    )
    assert "new_york" in corpus.vocabulary
    assert corpus.found.unsure_pairs > 0
    assert "Too many distinct pairs of words" in corpus.found.notes()[-1]


def test_subsampling_keeps_a_word_as_word2vec_does(tmp_path):
    words = Vocabulary(["the", "cat", "rare"], np.array([900, 99, 1]))
    expected = []
    for count in (900, 99, 1):  # word2vec.c, TrainModelThread
        ran = (math.sqrt(count / (1e-2 * 1000)) + 1) * (1e-2 * 1000) / count
        expected.append(min(1.0, ran))
    np.testing.assert_allclose(words.keep_probabilities(1e-2), expected, rtol=1e-12)
    assert words.keep_probabilities(0.0).tolist() == [1, 1, 1]
    words.save(tmp_path / "v.parquet")
    assert vocabulary_of(Vocabulary.load(tmp_path / "v.parquet")) == vocabulary_of(words)


def vocabulary_of(words):
    return list(zip(words.words, words.counts.tolist(), strict=True))


def test_the_words_of_a_block_can_be_had_by_themselves(tmp_path):
    (block,) = read_blocks(write(tmp_path / "x", " a  bc\t\n\n  d\xa0 e"))
    found = Tokens().cut(block)
    assert found.words.to_pylist() == ["a", "bc", "d", "e"]
    assert found.ends.tolist() == [2, 2, 4]
