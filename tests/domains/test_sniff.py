"""First bytes: what is packed is opened whatever its name, and what is something else is called by its name."""

import bz2
import gzip
import lzma

import pytest

from tellapart import InputError
from tellapart.domains.sniff import kind_of_bytes, numbered_lines, opened, suffix, unreadable


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["x.txt", "x.gz", "x"])
def test_what_is_packed_is_opened_whatever_its_name(tmp_path, pack, name):
    (tmp_path / name).write_bytes(pack(b"\xef\xbb\xbfa\nb\r\nc"))
    assert list(numbered_lines(tmp_path / name)) == [(1, "a\n"), (2, "b\r\n"), (3, "c")]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_truncated_pack_and_one_packed_twice_are_named(tmp_path, pack):
    whole = pack(b"a line\n" * 1000)
    (tmp_path / "cut").write_bytes(whole[:-9])
    (tmp_path / "twice").write_bytes(pack(whole))
    with pytest.raises(InputError, match=r"cut: .*truncated or damaged"):
        list(numbered_lines(tmp_path / "cut"))
    with pytest.raises(InputError, match=r"twice: .* twice. Unpack it once"), opened(tmp_path / "twice"):
        pass


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"PAR1....", "a Parquet file"),
        (b"\x89HDF\r\n\x1a\n...", "an HDF5 file"),
        (b"PK\x03\x04....", "a zip archive"),
        ("a,b\n".encode("utf-16"), "UTF-16 text"),
        ("a,b\nc,d\n".encode("utf-16-le"), "UTF-16 text"),
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"%PDF-1.7", "a PDF document"),
    ],
)
def test_what_is_no_text_is_called_by_its_name(tmp_path, start, told):
    path = tmp_path / "x.txt"
    path.write_bytes(start)
    with pytest.raises(InputError, match=rf"x\.txt: {told}.*, not a text in UTF-8"):
        list(numbered_lines(path))
    assert str(unreadable(path, "a table", "else")).startswith(f"{path}: {told}")


@pytest.mark.parametrize("text", ["BM is a word\n", "a,b\n", ">a\nACGT\n", "", "\n\n", "ab"])
def test_a_text_is_no_other_kind_whatever_it_begins_with(tmp_path, text):
    assert kind_of_bytes(text.encode()) is None
    (tmp_path / "x").write_text(text)
    assert str(unreadable(tmp_path / "x", "a table", "else")) == "else"


def test_a_line_that_is_no_text_is_given_as_the_error_that_it_is(tmp_path):
    (tmp_path / "x").write_bytes(b"a\ncaf\xe9\nb\0\nd\n")
    lines = dict(numbered_lines(tmp_path / "x"))
    assert [lines[1], lines[4]] == ["a\n", "d\n"]
    assert "x line 2: not UTF-8" in str(lines[2])
    assert "x line 3: holds a zero byte" in str(lines[3])


def test_the_ending_of_a_packed_file_is_that_of_its_content(tmp_path):
    assert [suffix(tmp_path / name) for name in ("a.TSV.gz", "a.txt", "a.gz", "a.b.xz")] == [".tsv", ".txt", "", ".b"]
