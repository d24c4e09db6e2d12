"""Read FASTA and FASTQ files, compressed or not, record by record; errors name the file and the record."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tellapart.domains.genomes.bases import ANY, LETTERS, UNKNOWN, encode
from tellapart.errors import InputError, existing

if TYPE_CHECKING:
    from jaxtyping import UInt8

FORMATS = (".fa", ".fasta", ".fna", ".ffn", ".fas", ".fq", ".fastq")
COMPRESSED = (".gz", ".bz2", ".xz")
_MOST_AMBIGUOUS = 0.5
_IS_AMBIGUOUS = np.array([bits not in (1, 2, 4, 8, ANY) for bits in range(len(LETTERS))])


class Record(NamedTuple):
    """A sequence and its name, the first word after > or @."""

    name: str
    bases: UInt8[np.ndarray, " n"]


def find_files(source: str) -> list[Path]:
    """The named file, or all sequence files of a folder, at any depth, sorted.

    Raises:
        InputError: there is no such file or folder, or no sequence file in it.
    """
    path = existing(source)
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file() and _is_sequence_file(file.relative_to(path)))
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
    """The records of a FASTA or FASTQ file, one at a time; the file is never in memory as a whole.

    Lower case is read as upper case, U as T, and IUPAC's ambiguous letters as sets of bases.

    Raises:
        InputError: no such format; a broken or truncated file; sequence and qualities of different lengths; a record
            without bases, or with letters that are not bases, or with too many ambiguous letters for DNA; no record.
    """
    dnaio = _dnaio()
    count = 0
    try:
        with dnaio.open(file) as records:
            for count, record in enumerate(records, 1):
                name, bases = _first_word(record.name), encode(record.sequence)
                _check(bases, record.sequence, f"{file} record {count}" + (f" ({name})" if name else ""))
                yield Record(name or str(count), bases)
    except InputError:
        raise
    except dnaio.UnknownFileFormat as error:
        raise InputError(f"{file}: neither FASTA nor FASTQ, it begins with neither > nor @.") from error
    except dnaio.FileFormatError as error:
        where = "" if error.line is None else f" line {error.line + 1}"
        what = error.message.split(". ")[0].rstrip(".")
        raise InputError(f"{file}{where}: {what}. Repair it or fetch it anew.") from error
    except UnicodeDecodeError as error:
        what = f"byte 0x{error.object[error.start]:02x} is no UTF-8 text. Write headers in ASCII"
        raise InputError(f"{file}, after record {count}: {what}.") from error
    except Exception as error:  # each compression fails in its own way on a damaged file
        raise InputError(f"{file}, after record {count}: truncated or damaged. Fetch or write it anew.") from error
    if not count:
        raise InputError(f"{file}: holds no sequences. Is it the right file?")


def read_letters(letters: str) -> UInt8[np.ndarray, " n"]:
    """The bases of a typed sequence.

    Raises:
        InputError: letters that are not bases.

    >>> read_letters("acgN").tolist()
    [1, 2, 4, 15]
    """
    bases = encode(letters)
    _check(bases, letters, f"“{letters[:40]}”: neither a file nor a sequence")
    return bases


def _dnaio() -> ModuleType:
    try:
        return import_module("dnaio")
    except ModuleNotFoundError as error:
        raise InputError("dnaio is missing, which reads sequences. pip install 'tellapart[genomics]'") from error


def _is_sequence_file(file: Path) -> bool:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in FORMATS and not any(part.startswith(".") for part in file.parts)


def _first_word(header: str) -> str:
    return next(iter(header.split()), "")


def _check(bases: UInt8[np.ndarray, " n"], letters: str, place: str) -> None:
    if not len(bases):
        raise InputError(f"{place}: has no bases. Remove the record.")
    if (bases == UNKNOWN).any():
        at = int((bases == UNKNOWN).argmax())
        raise InputError(f"{place}: {letters[at]!r}, its letter {at + 1}, is {_remedy(letters[at])}.")
    share = _IS_AMBIGUOUS[bases].mean()
    if share > _MOST_AMBIGUOUS:
        what = f"{share:.0%} of its letters are ambiguous bases other than N"
        raise InputError(f"{place}: {what}. Give DNA or RNA, not protein.")


def _remedy(letter: str) -> str:
    if letter in "-.":
        return "a gap. Remove the gaps"
    if letter.isspace():
        return "white space. Remove it"
    # Protein has letters that are not bases, and * at its end.
    return "no base. " + ("Give DNA or RNA, not protein" if letter.isalpha() or letter == "*" else "Remove it")
