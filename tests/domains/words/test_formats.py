"""word2vec's formats: what is written is read again to the bit, and what is broken is named in one line."""

import gzip
import math
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart import InputError
from tellapart.domains.words import read_vectors, write_vectors

numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=5)
SUFFIXES = [".txt", ".vec", ".bin", ".txt.gz", ".bin.gz", ".w2v"]


@given(st.data(), st.lists(words, min_size=1, max_size=6, unique=True), st.integers(1, 4), st.sampled_from(SUFFIXES))
def test_any_words_and_numbers_come_back_to_the_bit(data, names, width, suffix):
    rows = data.draw(
        st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=len(names), max_size=len(names))
    )
    vectors = np.array(rows, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        write_vectors(path, names, vectors)
        found, read = read_vectors(path)
    assert found == names
    assert read.tobytes() == vectors.tobytes()


def test_many_vectors_come_back_in_both_formats_whatever_the_name(tmp_path):
    names, vectors = [f"w{i}" for i in range(9000)], np.random.default_rng(0).normal(size=(9000, 3)).astype(np.float32)
    for suffix in SUFFIXES:
        write_vectors(tmp_path / f"x{suffix}", names, vectors)
        plain = tmp_path / "neither"
        plain.write_bytes((tmp_path / f"x{suffix}").read_bytes())
        for path in (tmp_path / f"x{suffix}", plain):
            found, read = read_vectors(path)
            assert found == names
            assert read.tobytes() == vectors.tobytes()


def test_text_is_a_header_and_a_line_for_each_word_in_the_fewest_digits(tmp_path):
    write_vectors(tmp_path / "x.txt", ["a", "é"], np.array([[0.1, -2], [1e-30, 16777216]], np.float32))
    assert (tmp_path / "x.txt").read_text(encoding="utf-8") == "2 2\na 0.1 -2\né 1e-30 16777216\n"


def test_text_is_read_as_other_programs_write_it(tmp_path):
    """word2vec.c ends a line with a space; some write Windows' line ends, or no last one."""
    for text in ("2 2\na 1.5 2 \nb -0 1e3 \n", "2 2\r\na 1.5 2\r\nb -0 1e3\r\n", "2 2\na 1.5 2\nb -0 1e3"):
        (tmp_path / "x").write_bytes(text.encode())
        found, read = read_vectors(tmp_path / "x")
        assert (found, read.tolist()) == (["a", "b"], [[1.5, 2], [0, 1000]])


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_binary_is_read_as_other_programs_write_it(tmp_path, end):
    """word2vec.c ends a vector with a line feed, gensim does not."""
    content = b"2 2\n" + b"".join(w + b" " + struct.pack("<2f", *v) + end for w, v in ((b"a", (1, 2)), (b"b", (3, 4))))
    (tmp_path / "x").write_bytes(content)
    found, read = read_vectors(tmp_path / "x")
    assert (found, read.tolist()) == (["a", "b"], [[1, 2], [3, 4]])


@pytest.mark.parametrize("word", ["new york", "", " ", "a\n", "\ta", "a\xa0b"])
@pytest.mark.parametrize("suffix", [".txt", ".bin"])
def test_a_word_with_white_space_is_refused_before_anything_is_written(tmp_path, word, suffix):
    """gensim wrote it, and could not read the file again (gensim#388)."""
    with pytest.raises(InputError, match="is empty or holds white space") as error:
        write_vectors(tmp_path / f"x{suffix}", ["fine", word], np.zeros((2, 2), np.float32))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_vector_that_is_not_finite_is_neither_written_nor_read(tmp_path, value):
    vectors = np.array([[0, 1], [1, value]], np.float32)
    with pytest.raises(InputError, match="the vector of 'b' is not finite"):
        write_vectors(tmp_path / "x.txt", ["a", "b"], vectors)
    for content in (
        f"2 2\na 0 1\nb 1 {value}\n".encode(),
        b"2 2\na " + vectors[0].tobytes() + b"b " + vectors[1].tobytes(),
    ):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(InputError, match="x: the vector of 'b' is not finite"):
            read_vectors(tmp_path / "x")


@pytest.mark.parametrize("vectors", [np.zeros((1, 2), np.float32), np.zeros(2, np.float32)])
def test_vectors_that_are_not_one_for_each_word_are_refused(tmp_path, vectors):
    with pytest.raises(ValueError, match=r"`vectors` must have shape \(2, d\)"):
        write_vectors(tmp_path / "x.txt", ["a", "b"], vectors)


FLOATS = struct.pack("<2f", 1, 2)
MISTAKES = {
    "no file": ("x", None, "there is no such file"),
    "a folder": (".", None, "truncated, damaged or unreadable"),
    "empty": ("x", b"", "not in word2vec's format, its first line is not the number of words and that of dimensions"),
    "no header": ("x.txt", b"a 1 2\nb 3 4\n", "not in word2vec's format"),
    "a picture": ("x", b"\x89PNG\r\n\x1a\n" + bytes(99), "not in word2vec's format"),
    "no words": ("x.txt", b"0 2\n", "not in word2vec's format"),
    "header alone": ("x.bin", b"2 2\n", "too short for the 2 words of its header"),
    "a header of a thousand million": ("x.bin", b"1000000000 300\na " + FLOATS, "too short for the 1000000000 words"),
    "text cut short": ("x.txt", b"3 2\na 1.25 2.25\nb 3.25 4.25\n", "truncated, it holds 2 of 3 words"),
    "a line cut short": ("x.txt", b"2 2\na 1 2\nbbbbb 3", "line 3: 1 numbers after its word, where the header has 2"),
    "a space in a word": ("x.txt", b"2 2\nnew york 1 2\nb 3 4\n", "line 2: 3 numbers after its word"),
    "letters": ("x.txt", b"2 2\na 1 2\nb 3 x\n", "line 3 holds 'x', not a number"),
    "bytes": ("x.txt", b"2 2\na 1 2\nb 3 \xff\n", "line 3 holds '\ufffd', not a number"),
    "more text": ("x.txt", b"1 2\na 1 2\nb 3 4\n", "goes on after the 1 words"),
    "not UTF-8": ("x.txt", b"1 2\n\xff 1 2\n", "its word 1 is not UTF-8"),
    "binary cut short": (
        "x.bin",
        b"2 2\naaaaaaaaaa " + FLOATS + b"b " + FLOATS[:5],
        "truncated, it holds 1 of 2 words",
    ),
    "more binary": ("x.bin", b"1 2\na " + FLOATS + b"b " + FLOATS, "goes on after the 1 words"),
    "twice": ("x.txt", b"2 2\na 1 2\na 3 4\n", "holds the word 'a' 2 times"),
    "half a gzipped file": ("x.txt.gz", gzip.compress(b"1 2\na 1 2\n")[:15], "truncated, damaged or unreadable"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_broken_file_is_one_line_that_says_what_is_wrong(tmp_path, mistake):
    name, content, message = MISTAKES[mistake]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_vectors(tmp_path / name)
    assert "\n" not in str(error.value)
