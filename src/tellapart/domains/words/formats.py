"""word2vec's two file formats, which most tools read: a header, then a word and its vector after each other.

The text format has a line for each word, numbers apart by spaces. They are written with as many digits as give the same
float32 back. The binary format has little-endian float32. Both divide a word from its vector by a space, so a word must
not hold white space.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tellapart.errors import InputError, existing, requirement
from tellapart.files import atomic_write

if TYPE_CHECKING:
    from jaxtyping import Float32

_GZIP = b"\x1f\x8b"
_ROWS = 4096  # vectors that are text at once


def write_vectors(path: Path, words: list[str], vectors: Float32[np.ndarray, "v d"]) -> None:
    """Write words and vectors: in the binary format to a `.bin`, otherwise as text; gzipped if `.gz` follows.

    Raises:
        ValueError: not one vector for each word.
        InputError: an empty word, or one with white space; a vector that is not finite; the file cannot be written.
    """
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise ValueError(requirement("vectors", f"have shape ({len(words)}, d)", f"shape {vectors.shape}"))
    for word in words:
        if word.split() != [word]:
            raise InputError(f"{path}: {word!r} is empty or holds white space, which ends a word in this format.")
    vectors = np.ascontiguousarray(vectors, "<f4")
    if not np.isfinite(vectors).all():
        word = words[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])]
        raise InputError(f"{path}: the vector of {word!r} is not finite. Train again with a smaller learning rate.")
    is_packed = path.suffix == ".gz"
    is_binary = (path.with_suffix("") if is_packed else path).suffix == ".bin"
    with atomic_write(path) as file:
        if is_packed:
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
                _write(packed, words, vectors, is_binary)
        else:
            _write(file, words, vectors, is_binary)


def read_vectors(path: Path) -> tuple[list[str], Float32[np.ndarray, "v d"]]:
    """The words and vectors of a file of either format, gzipped or not.

    A `.bin` is binary, a `.txt` or `.vec` is text. The first entry of any other file shows which it is.

    Raises:
        InputError: no such file; a file of another kind, truncated or damaged; a word twice; a number that is not
            finite. The message names the place.
    """
    try:
        content = existing(str(path)).read_bytes()
        content = gzip.decompress(content) if content.startswith(_GZIP) else content
    except (EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path}: truncated, damaged or unreadable. Fetch or write it anew.") from error
    n_words, width, start = _header(path, content)
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix
    is_text = suffix in (".txt", ".vec") or (suffix != ".bin" and _is_text(content, start, width))
    if n_words * (2 + (2 if is_text else 4) * width) > len(content) - start + 1:  # before memory is asked for
        raise InputError(
            f"{path}: truncated, it is too short for the {n_words} words of its header. Fetch or write it anew."
        )
    words, vectors = (_read_text if is_text else _read_binary)(path, content, n_words, width, start)
    if len(set(words)) < n_words:
        (word, count), *_ = Counter(words).most_common(1)
        raise InputError(f"{path}: holds the word {word!r} {count} times. Remove all but one.")
    if not np.isfinite(vectors).all():
        word = words[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])]
        raise InputError(f"{path}: the vector of {word!r} is not finite. Correct or remove it.")
    return words, vectors


def _write(file: BufferedIOBase, words: list[str], vectors: Float32[np.ndarray, "v d"], is_binary: bool) -> None:
    import pyarrow as pa

    file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
    for low in range(0, len(words), _ROWS):
        part = vectors[low : low + _ROWS]
        if is_binary:
            rows = [row.tobytes() for row in part]
        else:  # Arrow writes the fewest digits that give the same float32 back
            numbers = pa.array(part.ravel()).cast(pa.string()).to_pylist()
            width = vectors.shape[1]
            rows = [" ".join(numbers[at : at + width]).encode() for at in range(0, len(numbers), width)]
        for word, row in zip(words[low : low + _ROWS], rows, strict=True):
            file.write(word.encode() + b" " + row + b"\n")


def _header(path: Path, content: bytes) -> tuple[int, int, int]:
    """The number of words, that of numbers in a vector, and where the first word begins."""
    start = content.find(b"\n", 0, 100) + 1
    numbers = content[:start].split()
    if len(numbers) != 2 or not all(number.isdigit() and int(number) > 0 for number in numbers):
        what = "its first line is not the number of words and that of dimensions"
        raise InputError(f"{path}: not in word2vec's format, {what}.")
    return int(numbers[0]), int(numbers[1]), start


def _is_text(content: bytes, start: int, width: int) -> bool:
    """Whether the first entry is a line of a word and numbers."""
    end = content.find(b"\n", start)
    cells = content[start : end if end >= 0 else None].rstrip().split(b" ")
    try:
        return len([float(cell) for cell in cells[1:]]) == width
    except ValueError:
        return False


def _read_text(
    path: Path, content: bytes, n_words: int, width: int, start: int
) -> tuple[list[str], Float32[np.ndarray, "v d"]]:
    import pyarrow as pa

    words, vectors = [], np.empty((n_words, width), np.float32)
    lines = content[start:].removesuffix(b"\n").split(b"\n")
    if len(lines) < n_words:
        raise _truncated(path, n_words, len(lines))
    if len(lines) > n_words:
        raise _goes_on(path, n_words)
    for low in range(0, n_words, _ROWS):
        cells = [line.rstrip(b" \r").split(b" ") for line in lines[low : low + _ROWS]]
        for number, row in enumerate(cells, low + 2):
            if len(row) != width + 1:
                found = f"{len(row) - 1} numbers after its word, where the header has {width}"
                raise InputError(f"{path} line {number}: {found}. Fetch or write it anew.")
        words += [_word(path, row[0], number) for number, row in enumerate(cells, low + 1)]
        try:
            numbers = pa.array([cell for row in cells for cell in row[1:]], pa.string()).cast(pa.float32())
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise InputError(f"{path}: {_bad_number(cells, low)}. Fetch or write it anew.") from error
        vectors[low : low + _ROWS] = numbers.to_numpy().reshape(-1, width)
    return words, vectors


def _read_binary(
    path: Path, content: bytes, n_words: int, width: int, start: int
) -> tuple[list[str], Float32[np.ndarray, "v d"]]:
    words, vectors = [], np.empty((n_words, width), np.float32)
    for i in range(n_words):
        start += content.startswith(b"\n", start)  # some writers end a vector with it, others do not
        space = content.find(b" ", start)
        end = space + 1 + 4 * width
        if space < 0 or end > len(content):
            raise _truncated(path, n_words, i)
        words.append(_word(path, content[start:space], i + 1))
        vectors[i] = np.frombuffer(content, "<f4", width, space + 1)
        start = end
    if content[start:].strip(b"\n"):
        raise _goes_on(path, n_words)
    return words, vectors


def _word(path: Path, word: bytes, number: int) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: its word {number} is not UTF-8. Is it a file of word2vec?") from error


def _bad_number(rows: list[list[bytes]], low: int) -> str:
    for line, row in enumerate(rows, low + 2):
        for cell in row[1:]:
            try:
                float(cell)
            except ValueError:
                return f"line {line} holds {cell.decode(errors='replace')!r}, not a number"
    return f"lines {low + 2} to {low + 1 + len(rows)} hold what is not a number"


def _truncated(path: Path, n_words: int, found: int) -> InputError:
    return InputError(f"{path}: truncated, it holds {found} of {n_words} words. Fetch or write it anew.")


def _goes_on(path: Path, n_words: int) -> InputError:
    return InputError(f"{path}: damaged, it goes on after the {n_words} words that its header says.")
