"""Read FASTA and FASTQ files, compressed or not, record by record; errors name the file and the record."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from tellapart import reading
from tellapart.domains.folders import files_in
from tellapart.domains.genomes.bases import ANY, LETTERS, UNKNOWN, encode
from tellapart.domains.sniff import PackedError, kind_of_bytes, opened, suffix, unreadable
from tellapart.errors import InputError, existing

if TYPE_CHECKING:
    from jaxtyping import UInt8

FORMATS = (".fa", ".fasta", ".fna", ".ffn", ".fas", ".fsa", ".frn", ".mfa", ".fq", ".fastq")
COMPRESSED = (".gz", ".bz2", ".xz")
_MOST_AMBIGUOUS = 0.5
_HEADER = 2**12
_EMPTY = "has no bases. Remove the record."
_ASCII = bytes([*range(128), *b"?" * 128])  # headers may be in any encoding
_IS_AMBIGUOUS = np.array([bits not in (1, 2, 4, 8, ANY) for bits in range(len(LETTERS))])


class Record(NamedTuple):
    """A sequence and its name, the first word after > or @."""

    name: str
    bases: UInt8[np.ndarray, " n"]
    about: str = ""
    """What follows the name in its line."""


def find_files(source: str) -> list[Path]:
    """The named file, or all sequence files of a folder, at any depth, sorted.

    Raises:
        InputError: there is no such file or folder, or no sequence file in it.
    """
    path = existing(source)
    if not path.is_dir():
        return [path]
    files = files_in(path, _is_sequence_file, "sequence files")
    if not files:
        raise InputError(f"{path}: no sequences in the folder. Put in {', '.join(FORMATS)}, as they are or gzipped.")
    return files


def stem(file: Path) -> str:
    """A file's name without its endings.

    >>> stem(Path("genomes/E. coli.fna.gz"))
    'E. coli'
    """
    name = file.name.removesuffix(file.suffix) if file.suffix.lower() in COMPRESSED else file.name
    return name.removesuffix(Path(name).suffix) if Path(name).suffix.lower() in FORMATS else name


def read_records(file: Path) -> Iterator[Record]:
    """The records of a FASTA or FASTQ file, packed or not, one at a time; the file is never in memory as a whole.

    Lower case is read as upper case, U as T, and IUPAC's ambiguous letters as sets of bases; a dot in a FASTQ is a base
    that was not called, N. A record without bases is a broken item. Headers may hold any letters, and empty lines at
    the end mean nothing.

    Raises:
        InputError: no such format; a broken or truncated file; sequence and qualities of different lengths; a record
            without bases, or with letters that are not bases, or with too many ambiguous letters for DNA; no record.
    """
    dnaio = _dnaio()
    count, taken = 0, 0
    try:
        with opened(file) as content, _parser(dnaio, io.BufferedReader(_Plain(content, file)), file) as records:
            are_reads = isinstance(records, dnaio.FastqReader)
            for count, record in enumerate(records, 1):
                name = _first_word(record.name)
                letters = record.sequence.replace(".", "N") if are_reads else record.sequence
                bases = encode(letters)
                place = f"{file} record {count}" + (f" ({name})" if name else "")
                if not len(bases):
                    reading.leave_out("record without bases", place, InputError(f"{place}: {_EMPTY}"))
                    continue
                if (wrong := _wrong(bases, letters, place)) is not None:
                    reading.leave_out("record of letters that are no bases", place, wrong)
                    continue
                taken += 1
                yield Record(name or str(count), bases, record.name.strip().removeprefix(name).strip())
    except PackedError as error:
        raise InputError(f"{file}, after record {count}: {error.what}. Fetch or write it anew.") from error
    except InputError:
        raise
    except dnaio.UnknownFileFormat as error:
        otherwise = f"{file}: neither FASTA nor FASTQ, it begins with neither > nor @."
        raise unreadable(file, "FASTA or FASTQ", otherwise) from error
    except dnaio.FileFormatError as error:
        where = "" if error.line is None else f" line {error.line + 1}"
        what = error.message.split(". ")[0].rstrip(".")
        raise InputError(f"{file}{where}: {what}. Repair it or fetch it anew.") from error
    except Exception as error:  # each compression fails in its own way on a damaged file
        otherwise = f"{file}, after record {count}: truncated or damaged. Fetch or write it anew."
        raise unreadable(file, "FASTA or FASTQ", otherwise) from error
    if not taken:
        raise reading.first_broken() or InputError(f"{file}: holds no sequences. Is it the right file?")
    reading.read(taken, "sequence")


def _parser(dnaio: ModuleType, content: io.BufferedReader, file: Path) -> Any:
    """What reads the records, by the first letter or, if that is none of a header, by the file's name."""
    first = content.peek(1)[:1]
    if not first:
        raise InputError(f"{file}: holds no sequences. Is it the right file?")
    named = "fastq" if suffix(file) in (".fq", ".fastq") else "fasta" if suffix(file) in FORMATS else None
    return dnaio.open(content, fileformat={b">": "fasta", b"@": "fastq"}.get(first, named))


class _Plain(io.RawIOBase):
    """The bytes of a file as dnaio takes them: ASCII, without a byte order mark, and without empty lines at the end."""

    def __init__(self, content: BinaryIO, file: Path) -> None:
        self.content = content
        self.rest, self.spaces, self.last, self.ended = b"", b"", b"", False
        head = content.read(_HEADER)
        kind = kind_of_bytes(head)
        if kind is not None:
            raise InputError(f"{file}: {kind.told}, not FASTA or FASTQ. {kind.remedy}.")
        self._take(head.removeprefix(b"\xef\xbb\xbf").lstrip())

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, at least in part, unless the file ends."""
        size = len(buffer)
        while len(self.rest) < size and not self.ended:
            chunk = self.content.read(max(size, _HEADER))
            self._take(chunk) if chunk else self._end()
        part, self.rest = self.rest[:size], self.rest[size:]
        buffer[: len(part)] = part
        return len(part)

    def _take(self, chunk: bytes) -> None:
        """Append what is known not to be white space at the end of the file."""
        whole = self.rest + self.spaces + chunk.translate(_ASCII)
        self.rest = whole.rstrip()
        self.spaces = whole[len(self.rest) :]
        self.last = (self.last + self.rest)[-_HEADER:]

    def _end(self) -> None:
        """End the last line; the last record's empty qualities are a line, too."""
        lines = self.last.replace(b"\r", b"").split(b"\n")
        is_empty = len(lines) > 2 and lines[-1].startswith(b"+") and not lines[-2]
        self.rest += b"\n\n" if is_empty else b"\n" if self.last else b""
        self.ended = True


def read_letters(letters: str) -> UInt8[np.ndarray, " n"]:
    """The bases of a typed sequence.

    Raises:
        InputError: letters that are not bases.

    >>> read_letters("acgN").tolist()
    [1, 2, 4, 15]
    """
    bases, place = encode(letters), f"“{letters[:40]}”: neither a file nor a sequence"
    if not len(bases):
        raise InputError(f"{place}: {_EMPTY}")
    if (wrong := _wrong(bases, letters, place)) is not None:
        raise wrong
    return bases


def _dnaio() -> ModuleType:
    try:
        return import_module("dnaio")
    except ModuleNotFoundError as error:
        raise InputError("dnaio is missing, which reads sequences. pip install 'tellapart[genomics]'") from error


def _is_sequence_file(file: Path) -> bool:
    if suffix(file) in FORMATS:
        return True
    return suffix(file) in ("", ".seq") and _begins_as_sequences(file)


def _begins_as_sequences(file: Path) -> bool:
    """Whether the first line is a header of FASTA or FASTQ, and the second one holds letters of DNA."""
    try:
        with opened(file) as content:
            first, second = content.readline(_HEADER), content.readline(_HEADER).strip().upper()
    except (InputError, OSError):
        return False
    return first[:1] in (b">", b"@") and bool(second) and not second.strip(b"ACGTUNRYSWKMBDHV.")


def _first_word(header: str) -> str:
    return next(iter(header.split()), "")


def _wrong(bases: UInt8[np.ndarray, " n"], letters: str, place: str) -> InputError | None:
    """What is wrong with the letters of a record, if anything is."""
    if (bases == UNKNOWN).any():
        at = int((bases == UNKNOWN).argmax())
        return InputError(f"{place}: {letters[at]!r}, its letter {at + 1}, is {_remedy(letters[at])}.")
    share = _IS_AMBIGUOUS[bases].mean()
    if share > _MOST_AMBIGUOUS:
        what = f"{share:.0%} of its letters are ambiguous bases other than N"
        return InputError(f"{place}: {what}. Give DNA or RNA, not protein.")
    return None


def _remedy(letter: str) -> str:
    if letter in "-.":
        return "a gap. Remove the gaps"
    if letter.isspace():
        return "white space. Remove it"
    # Protein has letters that are not bases, and * at its end.
    return "no base. " + ("Give DNA or RNA, not protein" if letter.isalpha() or letter == "*" else "Remove it")
