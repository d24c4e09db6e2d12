"""Read translation memories (TMX) as a stream: the file is never in memory as a whole."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from xml.parsers import expat

from tellapart import reading
from tellapart.domains.sniff import opened, unreadable
from tellapart.errors import InputError

_LANGUAGE = ("xml:lang", "lang")  # since TMX 1.4, and before
_CHUNK = 2**20
# What XML forbids and files have nevertheless: control characters and halves of characters, as bytes or by number.
_FORBIDDEN = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]"
    rb"|&#(?:[xX]0*(?:[0-8bBcCeEfF]|1[0-9a-fA-F]|[dD][89a-fA-F][0-9a-fA-F]{2}|[fF]{3}[efEF])|0*(?:[0-8]|1[124-9]|2[0-9]|3[01]));"
)
_MARK, _GAP = "\ufdd0", "\ufdd1"  # characters that no text has
_ALONE = ("ph", "it", "ut")  # inline elements that may stand for a space, such as a line break


class _Unit(NamedTuple):
    """A translation unit: its sentences by their languages as written, and its group."""

    variants: dict[str, str]
    group: str


def read_tmx(path: Path, languages: tuple[str, str] | None, facts: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The translation units of a TMX file in two languages: source, target and group.

    A unit's group is its `<prop type="group">`; without it, each unit is a group. The content of inline elements
    (`<bpt>`, `<ph>`, …) is markup and left out, except for `<hi>` and `<sub>`. Units that lack one of the languages
    are left out, and counted. A unit with a forbidden character is a broken item. Regions of a language are one:
    en-GB and en-US are en, unless the file has no other language.

    Args:
        path: the file.
        languages: which two, if there are more; without them the file is read once more before, to find the only two,
            that of the header's `srclang` first.
        facts: gets the `languages`, and the number of units `left_out`.

    Raises:
        InputError: not XML, not TMX, a variant without a language (the message names the line), an encoding that
            cannot be read, or more than two languages where none are named.
    """
    chosen = languages or _only_two(path)
    facts |= {"languages": chosen or ("source", "target"), "left_out": 0}
    counts, n = _Counts(), 0
    for number, unit in enumerate(_units(_Units(path)), 1):
        counts.add(unit)
        pair = [_in(language, unit) for language in chosen] if chosen else [None, None]
        if pair[0] is None or pair[1] is None:
            facts["left_out"] += 1
            continue
        n += 1
        yield pair[0], pair[1], unit.group or f"unit {number}"
    if languages is not None and counts.tags and not n:
        found = ", ".join(counts.languages())
        raise InputError(f"{path}: no unit has both {' and '.join(languages)}. Its languages are {found}.")


def read_variants(path: Path) -> Iterator[str]:
    """The sentences of all languages of a TMX file, unit by unit.

    Raises:
        InputError: as for `read_tmx`.
    """
    for unit in _units(_Units(path)):
        yield from unit.variants.values()


class _Counts:
    """How many units have each language."""

    def __init__(self) -> None:
        self.tags, self.primaries = Counter[str](), Counter[str]()

    def add(self, unit: _Unit) -> None:
        self.tags.update(list(unit.variants))
        self.primaries.update(list(dict.fromkeys(map(_primary, unit.variants))))

    def languages(self) -> Counter[str]:
        """Whatever its region; those of one language alone by region."""
        return self.primaries if len(self.primaries) > 1 else self.tags


def _only_two(path: Path) -> tuple[str, str] | None:
    """The two languages of a file; `None` if it has fewer."""
    seen, file = _Counts(), _Units(path)
    with reading.accounted():  # what is left out is entered once, when the units are read
        for unit in _units(file):
            seen.add(unit)
    counts, source = seen.languages(), file.source
    names = sorted(counts, key=lambda name: _primary(name) != _primary(source)) if source else list(counts)
    if len(names) > 2:
        found = ", ".join(f"{name} ({counts[name]} units)" for name in names)
        likely = ",".join([names[0], max(names[1:], key=lambda name: counts[name])])
        raise InputError(f"{path}: holds {len(names)} languages: {found}. Name two: --languages {likely}.")
    return (names[0], names[1]) if len(names) == 2 else None


def _in(language: str, unit: _Unit) -> str | None:
    """A unit's sentence in a language: of that very region, or else of any."""
    if language in unit.variants:
        return unit.variants[language]
    return next((text for tag, text in unit.variants.items() if _primary(tag) == language), None)


def _primary(tag: str) -> str:
    return re.split("[-_]", tag)[0]


def _units(units: _Units) -> Iterator[_Unit]:
    """The units of a file, while it is read."""
    path = units.path
    with opened(path) as file:
        head = file.read(_CHUNK)
        is_wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
        parser = expat.ParserCreate("utf-8" if is_wide else None)
        parser.StartElementHandler, parser.EndElementHandler = units.start, units.end
        parser.CharacterDataHandler = units.text
        units.line = lambda: parser.CurrentLineNumber
        # Nothing outside the file is read. Entities declared in the file are refused: they could grow without end.
        parser.EntityDeclHandler = units.refuse_entity
        parser.SkippedEntityHandler = units.skip_entity
        try:
            for chunk in _allowed(_as_utf8(head, file) if is_wide else _chunks(head, file)):
                parser.Parse(chunk, False)
                yield from units.taken()
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            otherwise = f"{path} line {error.lineno}: {expat.ErrorString(error.code)}. Is the TMX file whole?"
            raise unreadable(path, "TMX", otherwise, expected=("utf-16",)) from error
        except InputError:
            raise
        except (ValueError, LookupError) as error:  # an encoding of several bytes, or an unknown one
            raise InputError(f"{path}: {error}. Save it as UTF-8.") from error
        yield from units.taken()


def _chunks(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield head
    while chunk := file.read(_CHUNK):
        yield chunk


def _as_utf8(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    for chunk in _chunks(head, file):
        yield decoder.decode(chunk).encode()


def _allowed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same with a mark for each character that XML forbids."""
    rest, mark = b"", f"&#x{ord(_MARK):x};".encode()
    for chunk in chunks:
        content = rest + chunk
        cut = content.rfind(b"&", -12)  # a reference may go on in the next chunk
        cut = len(content) if cut < 0 else cut
        yield _FORBIDDEN.sub(mark, content[:cut])
        rest = content[cut:]
    yield _FORBIDDEN.sub(mark, rest)


class _Units:
    """The handlers of the parser, and the units that are read and not yet taken."""

    def __init__(self, path: Path) -> None:
        self.path, self.line = path, lambda: 0
        self.found: list[_Unit] = []
        self.source = ""
        self.variants: dict[str, str] = {}
        self.language, self.group, self.began = "", "", 0
        self.open: list[str] = []
        self.pieces: list[str] | None = None
        self.is_broken = False

    def taken(self) -> list[_Unit]:
        """What was read since the last call."""
        found, self.found = self.found, []
        return found

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.open and name != "tmx":
            raise self._wrong(f"begins with <{name}>, so it is not TMX")
        self.open.append(name)
        if name == "header":
            named = attributes.get("srclang", "").lower()
            self.source = "" if named.startswith("*") else named
        elif name == "tu":
            self.variants, self.group, self.is_broken, self.began = {}, "", False, self.line()
        elif name == "tuv":
            self.language = next((attributes[key].lower() for key in _LANGUAGE if key in attributes), "")
            if not self.language:
                raise self._wrong("a <tuv> without xml:lang")
        elif name == "seg" or (name == "prop" and attributes.get("type") == "group"):
            self.pieces = []
        elif name in _ALONE and self.pieces is not None:
            self.pieces.append(_GAP)

    def end(self, name: str) -> None:
        self.open.pop()
        if name in ("seg", "prop") and self.pieces is not None:
            whole = "".join(self.pieces)
            self.is_broken = self.is_broken or _MARK in whole
            apart = re.sub(rf"(?<=\w){_GAP}+(?=\w)", " ", whole).replace(_GAP, "")
            text, self.pieces = " ".join(apart.split()), None
            if name == "prop":
                self.group = text
            elif text:
                self.variants.setdefault(self.language, text)
        elif name == "tu":
            self._keep()

    def text(self, content: str) -> None:
        if self.pieces is not None and self.open[-1] in ("seg", "prop", "hi", "sub"):
            self.pieces.append(content)

    def skip_entity(self, name: str, is_parameter: bool) -> None:  # noqa: ARG002
        """Read an entity of a DTD outside the file as a space, which most are."""
        if not is_parameter:
            self.text(" ")

    def refuse_entity(self, name: str, *_: object) -> None:
        raise self._wrong(f"declares the entity {name}, which is not read")

    def _keep(self) -> None:
        if self.is_broken:
            place = f"{self.path} line {self.began}"
            error = InputError(f"{place}: a character that XML forbids, such as a control character. Remove it.")
            reading.leave_out("unit with a character that XML forbids", place, error)
        else:
            self.found.append(_Unit(self.variants, self.group))

    def _wrong(self, what: str) -> InputError:
        return InputError(f"{self.path} line {self.line()}: {what}. Write it anew.")
