"""Read translation memories (TMX) as a stream: the file is never in memory as a whole."""

from __future__ import annotations

from pathlib import Path
from xml.parsers import expat

from tellapart.domains.text.translations import Translations
from tellapart.errors import InputError

_LANGUAGE = ("xml:lang", "lang")  # since TMX 1.4, and before


def read_tmx(path: Path) -> Translations:
    """The translation units of a TMX file in two languages: those of the first unit that has two.

    A unit's group is its `<prop type="group">`; without it, each unit is a group. The content of inline elements
    (`<bpt>`, `<ph>`, …) is markup and left out, except for `<hi>` and `<sub>`. Units that lack one of the languages
    are left out, and counted.

    Raises:
        InputError: not XML, not TMX, a variant without a language (the message names the line), or an encoding that
            cannot be read.
    """
    units = _Units(path)
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = units.start, units.end
    parser.CharacterDataHandler = units.text
    units.line = lambda: parser.CurrentLineNumber
    # Nothing outside the file is read. Entities declared in the file are refused: they could grow without end.
    parser.EntityDeclHandler = units.refuse_entity
    parser.SkippedEntityHandler = units.skip_entity
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except expat.ExpatError as error:
        raise InputError(
            f"{path} line {error.lineno}: {expat.ErrorString(error.code)}. Is the TMX file whole?"
        ) from error
    except InputError:
        raise
    except (ValueError, LookupError) as error:  # an encoding of several bytes, or an unknown one
        raise InputError(f"{path}: {error}. Save it as UTF-8.") from error
    return Translations(
        units.sources, units.targets, units.groups, units.languages or ("source", "target"), units.left_out
    )


class _Units:
    """The handlers of the parser, and the units read so far."""

    def __init__(self, path: Path) -> None:
        self.path, self.line = path, lambda: 0
        self.sources: list[str] = []
        self.targets: list[str] = []
        self.groups: list[str] = []
        self.languages: tuple[str, str] | None = None
        self.left_out = 0
        self.variants: dict[str, str] = {}
        self.language, self.group, self.of_group = "", "", False
        self.open: list[str] = []
        self.pieces: list[str] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.open and name != "tmx":
            raise self._wrong(f"begins with <{name}>, so it is not TMX")
        self.open.append(name)
        if name == "tu":
            self.variants, self.group = {}, ""
        elif name == "tuv":
            self.language = next((attributes[key].lower() for key in _LANGUAGE if key in attributes), "")
            if not self.language:
                raise self._wrong("a <tuv> without xml:lang")
        elif name == "seg" or (name == "prop" and attributes.get("type") == "group"):
            self.pieces = []

    def end(self, name: str) -> None:
        self.open.pop()
        if name in ("seg", "prop") and self.pieces is not None:
            text, self.pieces = " ".join("".join(self.pieces).split()), None
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
        if self.languages is None and len(self.variants) >= 2:
            first, second = list(self.variants)[:2]
            self.languages = first, second
        if self.languages is None or not all(language in self.variants for language in self.languages):
            self.left_out += 1
            return
        source, target = (self.variants[language] for language in self.languages)
        self.sources.append(source)
        self.targets.append(target)
        self.groups.append(self.group or f"unit {len(self.sources)}")

    def _wrong(self, what: str) -> InputError:
        return InputError(f"{self.path} line {self.line()}: {what}. Write it anew.")
