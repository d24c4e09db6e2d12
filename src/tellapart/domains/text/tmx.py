"""Read translation memories (TMX) as a stream: the file is never in memory as a whole."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.parsers import expat

from tellapart import reading
from tellapart.domains.sniff import opened, unreadable
from tellapart.domains.text.translations import Translations
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


def read_tmx(path: Path, languages: tuple[str, str] | None = None) -> Translations:
    """The translation units of a TMX file in two languages.

    A unit's group is its `<prop type="group">`; without it, each unit is a group. The content of inline elements
    (`<bpt>`, `<ph>`, …) is markup and left out, except for `<hi>` and `<sub>`. Units that lack one of the languages
    are left out, and counted. A unit with a forbidden character is a broken item. Regions of a language are one:
    en-GB and en-US are en, unless the file has no other language.

    Args:
        path: the file.
        languages: which two, if there are more; by default the only two, that of the header's `srclang` first.

    Raises:
        InputError: not XML, not TMX, a variant without a language (the message names the line), an encoding that
            cannot be read, or more than two languages where none are named.
    """
    units, source = _read(path)
    chosen = languages or _only_two(units, source, path)
    sources, targets, groups, left_out = [], [], [], 0
    for number, unit in enumerate(units, 1):
        pair = [_in(language, unit) for language in chosen] if chosen else [None, None]
        if pair[0] is None or pair[1] is None:
            left_out += 1
            continue
        sources.append(pair[0])
        targets.append(pair[1])
        groups.append(unit.group or f"unit {number}")
    if languages is not None and units and not sources:
        found = ", ".join(_counts(units))
        raise InputError(f"{path}: no unit has both {' and '.join(languages)}. Its languages are {found}.")
    return Translations(sources, targets, groups, chosen or ("source", "target"), left_out)


def read_variants(path: Path) -> list[str]:
    """The sentences of all languages of a TMX file, unit by unit.

    Raises:
        InputError: as for `read_tmx`.
    """
    return [text for unit in _read(path)[0] for text in unit.variants.values()]


def _counts(units: list[_Unit]) -> Counter[str]:
    """How many units have each language, whatever its region; those of one language alone by region."""
    tags = Counter(tag for unit in units for tag in unit.variants)
    languages = Counter(name for unit in units for name in dict.fromkeys(map(_primary, unit.variants)))
    return languages if len(languages) > 1 else tags


def _only_two(units: list[_Unit], source: str, path: Path) -> tuple[str, str] | None:
    counts = _counts(units)
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


def _read(path: Path) -> tuple[list[_Unit], str]:
    """All units, and the language that the header names as the source."""
    units = _Units(path)
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
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            otherwise = f"{path} line {error.lineno}: {expat.ErrorString(error.code)}. Is the TMX file whole?"
            raise unreadable(path, "TMX", otherwise, expected=("utf-16",)) from error
        except InputError:
            raise
        except (ValueError, LookupError) as error:  # an encoding of several bytes, or an unknown one
            raise InputError(f"{path}: {error}. Save it as UTF-8.") from error
    return units.found, units.source


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
    """The handlers of the parser, and the units read so far."""

    def __init__(self, path: Path) -> None:
        self.path, self.line = path, lambda: 0
        self.found: list[_Unit] = []
        self.source = ""
        self.variants: dict[str, str] = {}
        self.language, self.group, self.began = "", "", 0
        self.open: list[str] = []
        self.pieces: list[str] | None = None
        self.is_broken = False

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
