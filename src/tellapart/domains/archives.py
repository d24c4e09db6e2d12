"""Rows of tar shards as webdataset writes them: files of one name, such as 7.jpg, 7.txt and 7.json, are one sample."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Self

from tellapart import reading
from tellapart.domains.sniff import opened, unreadable
from tellapart.errors import InputError, exists

TARS = (".tar", ".tgz")
KEY = "__key__"
"""What a row calls the name that the files of its sample share, as webdataset does."""
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_TEXTS = {"txt": "text", "cls": "label"}
_PEEKED = 64  # samples; their files and fields say what columns there are
_MOST_SHARDS = 100_000

_File = tuple[str, str, bytes]
"""A file's sample, its ending and its content."""


def expanded(source: str) -> list[str]:
    """The names of shards from one with braces, as data-{000..003}.tar; the name itself if it is a file, or has none.

    Raises:
        InputError: a range that counts down, or names too many.

    >>> expanded("data-{08..10}.tar"), expanded("data.tar")
    (['data-08.tar', 'data-09.tar', 'data-10.tar'], ['data.tar'])
    """
    found = _RANGE.search(source)
    if found is None or exists(source):
        return [source]
    first, last = map(int, found.groups())
    if not first <= last < first + _MOST_SHARDS:
        raise InputError(f"{source}: {found[0]} must count up, and name at most {_MOST_SHARDS} files.")
    begin, end, width = source[: found.start()], source[found.end() :], len(found[1])
    return [name for i in range(first, last + 1) for name in expanded(f"{begin}{i:0{width}}{end}")]


def columns_of(path: Path) -> list[str]:
    """The columns of a shard, by its first samples.

    `image` is the picture of a sample, `text` its .txt, and `label` its .cls. Each field of a .json is a column, and
    `caption` also `text`. Pictures and texts are columns, too, called by their endings.

    Raises:
        InputError: no tar archive, or a truncated or damaged one.
    """
    with reading.accounted():  # what is left out is entered once, when the rows are read
        rows = list(islice(read_samples(path, ()), _PEEKED))
    return list(dict.fromkeys(name for _, row in rows for name in row if name != KEY))


def read_samples(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The samples of a shard, packed or not, as rows; files that are in none of the columns are counted.

    Raises:
        InputError: as for `columns_of`; a sample with several pictures where one is wanted.
    """
    unread: Counter[str] = Counter()
    for key, files in _samples(path):
        place = f"{path} sample {key}"
        try:
            row = {KEY: key} | _texts(files) | _pictures(files, place, "image" in columns)
        except ValueError as error:  # of JSON, of UTF-8
            if isinstance(error, InputError):
                raise
            broken = InputError(f"{place}: a text that cannot be read, {error}. Write it as UTF-8.")
            reading.leave_out("sample with a text that cannot be read", place, broken)
            continue
        unread.update(ending for ending in files if columns and not _is_read(ending, columns))
        yield place, row
    for ending, n in sorted(unread.items()):
        reading.pass_over(f"file of a sample that is of no use here (.{ending})", [""] * n)


def _is_read(ending: str, columns: tuple[str, ...]) -> bool:
    names = {ending, _TEXTS.get(ending, ending), "image" if _is_picture(ending) else ending}
    return ending == "json" or bool(names & set(columns))


def _texts(files: dict[str, bytes]) -> dict[str, Any]:
    """The fields of a sample's .json, and its texts."""
    fields = json.loads(files["json"].decode("utf-8-sig")) if "json" in files else {}
    if not isinstance(fields, dict):
        raise ValueError("its .json is no object with names and values")
    cells = {str(name): value for name, value in fields.items() if isinstance(value, (str, int, float))}
    if "caption" in cells:
        cells.setdefault("text", cells["caption"])
    for ending, name in _TEXTS.items():
        if ending in files:
            cells[name] = cells[ending] = files[ending].decode("utf-8-sig").strip()
    return cells


def _pictures(files: dict[str, bytes], place: str, needs_one: bool) -> dict[str, bytes]:
    """A sample's pictures by their endings, and the one that is `image`: the one with a plain ending, as jpg.

    Raises:
        InputError: there are several, and one is needed.
    """
    found = {ending: content for ending, content in files.items() if _is_picture(ending)}
    plain = [ending for ending in found if "." not in ending] or list(found)
    if needs_one and len(plain) > 1:
        raise InputError(f"{place}: several pictures ({', '.join(plain)}). Say which: --columns image={plain[0]}.")
    return found | ({"image": found[plain[0]]} if plain else {})


def _is_picture(ending: str) -> bool:
    from tellapart.domains.picture_files import SUFFIXES  # here, because it loads all that Pillow reads

    return PurePosixPath(f"x.{ending}").suffix in SUFFIXES


def _samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Neighbouring files of one name, by their endings."""
    key, files = "", dict[str, bytes]()
    for name, ending, content in _files(path):
        if files and (name != key or ending in files):
            yield key, files
            files = {}
        key = name
        files[ending] = content
    if files:
        yield key, files


def _files(path: Path) -> Iterator[_File]:
    """The files of an archive, one after another, so that memory holds one."""
    try:
        with opened(path) as file, tarfile.open(fileobj=file, mode="r|", tarinfo=_Header) as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                stem, _, ending = place.name.partition(".")
                if member.isdir() or not stem or "__MACOSX" in place.parts:
                    continue  # hidden files among them
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    reading.pass_over("link in an archive", [f"{path.name} {member.name}"])
                else:
                    yield str(place.with_name(stem)), ending.lower(), content.read()
    except tarfile.TarError as error:
        damaged = f"{path}: a tar archive that is truncated or damaged ({error}). Fetch or pack it anew."
        raise unreadable(path, "a tar archive", damaged, expected=("tar",)) from error


class _Header(tarfile.TarInfo):
    """A header that is an error where it is cut short or damaged: `tarfile` takes such a one for the archive's end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise tarfile.ReadError(str(error)) from error
