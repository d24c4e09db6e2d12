"""What a file is by its first bytes: to open what is compressed, and to name the true cause when a parser fails."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from tellapart.errors import InputError

_HEAD = 600  # a tar file says what it is behind 257 bytes


class PackedError(InputError):
    """A packed file that is truncated or damaged."""

    what = "truncated or damaged"


class Kind(NamedTuple):
    """A kind of file: its name, it in words, and the remedy where another kind is wanted."""

    name: str
    told: str
    remedy: str


def _kind(name: str, told: str, remedy: str = "Give another file") -> Kind:
    return Kind(name, told, remedy)


_UNPACK = "Unpack it first"
_STARTS = (
    (b"\x1f\x8b", _kind("gzip", "gzipped", _UNPACK)),
    (b"BZh", _kind("bzip2", "packed by bzip2", _UNPACK)),
    (b"\xfd7zXZ\0", _kind("xz", "packed by xz", _UNPACK)),
    (b"\x28\xb5\x2f\xfd", _kind("zstd", "packed by zstd", _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", _kind("7z", "a 7-Zip archive", _UNPACK)),
    (b"PK\x03\x04", _kind("zip", "a zip archive", _UNPACK)),
    (b"PK\x05\x06", _kind("zip", "a zip archive, and empty", "Fetch it anew")),
    (b"PAR1", _kind("parquet", "a Parquet file", "Name it so that it ends in .parquet")),
    (b"ARROW1", _kind("arrow", "an Arrow file", "Write it as Parquet")),
    (b"\x89HDF\r\n\x1a\n", _kind("hdf5", "an HDF5 file", "Write what it holds as CSV, Parquet or .npz")),
    (b"SQLite format 3\0", _kind("sqlite", "an SQLite data base", "Export its table as CSV")),
    (b"\x93NUMPY", _kind("npy", "a NumPy array", "Name it so that it ends in .npy")),
    (b"%PDF", _kind("pdf", "a PDF document")),
    (b"\xff\xfe", _kind("utf-16", "UTF-16 text", "Save it as UTF-8")),
    (b"\xfe\xff", _kind("utf-16", "UTF-16 text", "Save it as UTF-8")),
    (b"version https://git-lfs", _kind("lfs", "a pointer of Git LFS, not the file itself", "Fetch it: git lfs pull")),
    (b"\x89PNG\r\n\x1a\n", _kind("png", "a PNG picture")),
    (b"\xff\xd8\xff", _kind("jpeg", "a JPEG picture")),
    (b"GIF8", _kind("gif", "a GIF picture")),
    (b"BM", _kind("bmp", "a BMP picture")),
    (b"II*\0", _kind("tiff", "a TIFF picture")),
    (b"MM\0*", _kind("tiff", "a TIFF picture")),
    (b"\0\0\0\x0cjP  ", _kind("jp2", "a JPEG 2000 picture")),
    (b"\xff\x4f\xff\x51", _kind("jp2", "a JPEG 2000 picture")),
)
_BRANDS = {b"avif": "avif", b"avis": "avif", b"heic": "heic", b"heix": "heic", b"mif1": "heic", b"msf1": "heic"}
PICTURES = frozenset({"png", "jpeg", "gif", "bmp", "tiff", "jp2", "avif", "webp"})
"""The kinds of pictures that Pillow reads."""
_DOWNLOAD = "Was a download refused? Fetch the file again"


def kind_of_bytes(head: bytes) -> Kind | None:
    """What begins with these bytes; `None` for plain text and for what is not known.

    >>> kind_of_bytes(b"<!DOCTYPE html><html>").name, kind_of_bytes(b"a,b") is None
    ('html', True)
    """
    for start, kind in _STARTS:
        # Two letters are too few to tell a bitmap from a text: its header has zeros.
        if head.startswith(start) and (kind.name != "bmp" or head[6:10] == b"\0\0\0\0"):
            return kind
    if head[4:8] == b"ftyp" and head[8:12] in _BRANDS:
        name = _BRANDS[head[8:12]]
        return _kind(name, f"a picture in {name.upper()}", "Convert it to PNG or JPEG")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _kind("webp", "a WebP picture")
    if head[257:262] == b"ustar":
        return _kind("tar", "a tar archive", _UNPACK)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return _kind("html", "an HTML page", _DOWNLOAD)
    if len(head) >= 8 and head.count(0) * 2 >= len(head) - 2 and b"\0\0" not in head.rstrip(b"\0"):
        return _kind("utf-16", "UTF-16 text without a byte order mark", "Save it as UTF-8")
    return None


def kind_of(path: Path) -> Kind | None:
    """What a file is by its first bytes.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return kind_of_bytes(file.read(_HEAD))
    except OSError as error:
        raise InputError(f"{path}: cannot be read, {error.strerror or error}.") from error


def unreadable(path: Path, wanted: str, otherwise: str, expected: tuple[str, ...] = ()) -> InputError:
    """The error for a file that its parser cannot read: what the file is, if its first bytes tell; else `otherwise`.

    Args:
        path: the file.
        wanted: what it should be, in words.
        otherwise: the whole message if the first bytes tell nothing.
        expected: names of kinds that the parser reads.
    """
    try:
        with opened(path) as file:
            kind = kind_of_bytes(file.read(_HEAD))
    except (InputError, OSError):
        return InputError(otherwise)
    if kind is None or kind.name in expected:
        return InputError(otherwise)
    return InputError(f"{path}: {kind.told}, not {wanted}. {kind.remedy}.")


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """A file's bytes, unpacked if it is packed by gzip, bzip2 or xz, whatever its name.

    Raises:
        InputError: no such file, or one packed twice.
        PackedError: a packed file is truncated or damaged; inside the block, too.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'it is a folder' if path.is_dir() else 'there is no such file'}.")
    kind = kind_of(path)
    unpack: Any = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}.get(kind.name if kind else "")
    if unpack is None:
        with path.open("rb") as file:
            yield file
        return
    assert kind is not None
    try:
        with unpack(path, "rb") as packed:
            file = io.BufferedReader(cast(io.RawIOBase, packed))
            inside = kind_of_bytes(file.peek(_HEAD)[:_HEAD])
            if inside is not None and inside.name in ("gzip", "bzip2", "xz"):
                raise InputError(f"{path}: {kind.told} twice. Unpack it once.")
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise PackedError(f"{path}: {kind.told}, and truncated or damaged. Fetch or pack it anew.") from error
    except OSError as error:
        if error.filename is None and error.errno is None:  # bz2 has no error of its own
            raise PackedError(f"{path}: {kind.told}, and truncated or damaged. Fetch or pack it anew.") from error
        raise


def name_unpacked(path: Path) -> str:
    """A file's name without the ending of its packing.

    >>> name_unpacked(Path("corpus.en.gz"))
    'corpus.en'
    """
    return path.name.removesuffix(path.suffix) if path.suffix.lower() in (".gz", ".bz2", ".xz") else path.name


def suffix(path: Path) -> str:
    """The ending of a file's name in small letters, without that of its packing.

    >>> suffix(Path("pairs.TSV.gz"))
    '.tsv'
    """
    return Path(name_unpacked(path)).suffix.lower()


def numbered_lines(path: Path) -> Iterator[tuple[int, str | InputError]]:
    """The lines of a text file with their numbers, packed or not; only a line feed ends a line.

    A line that is no text is given as the error that it is, for the caller to leave it out or to stop.

    Raises:
        InputError: no such file; one that is not text by its first bytes.
    """
    with opened(path) as file:
        if (kind := kind_of_bytes(file.peek(_HEAD)[:_HEAD])) is not None:
            raise InputError(f"{path}: {kind.told}, not a text in UTF-8. {kind.remedy}.")
        for number, line in enumerate(file, 1):
            place = f"{path} line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                yield number, InputError(f"{place}: not UTF-8. Save the file as UTF-8.")
                continue
            yield number, InputError(f"{place}: holds a zero byte, so it is not a text.") if "\0" in text else text
