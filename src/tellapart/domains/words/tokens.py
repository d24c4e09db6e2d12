"""Cut text into words: at white space, with lower case and letters alone on request."""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tellapart import reading
from tellapart.domains.words.reading import LONGEST_WORD, Block, too_long
from tellapart.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Int64

_NEWLINE, _SPACE = b"\n "
_ASCII_SPACES = [code for code in range(128) if chr(code).isspace()]
# All other characters for which `str.isspace` holds.
_WIDE_SPACES = [chr(code) for code in range(128, 0x3001) if chr(code).isspace()]
_NO_LETTERS = r"[^\p{L}\p{M}\n]+"


class Sentences(NamedTuple):
    """The words of a block, and where its lines end among them."""

    spaced: pa.Array
    """The words, each with the spaces behind it: to cut these off costs less once words are distinct."""
    ends: Int64[np.ndarray, " lines"]
    """How many of the words are before the end of each line; a line that goes on in the next block has no entry."""

    @property
    def words(self) -> pa.Array:
        """The words by themselves."""
        import pyarrow.compute as pc

        return pc.ascii_rtrim(self.spaced, " ")


@dataclass(frozen=True)
class Tokens:
    """How text becomes words. White space separates them, that of `str.split`; only a line feed ends a line."""

    lower: bool = False
    """Change capitals to small letters."""
    letters: bool = False
    """Let all but letters and their accents separate words, too: "don't" becomes "don" and "t"."""

    def cut(self, block: Block) -> Sentences:
        """The words and lines of a block. Lines that are not UTF-8, or hold a zero byte, are broken items.

        Raises:
            InputError: a word of more than 1 MiB, or a broken line where none is to be left out; it names the line.
        """
        import pyarrow as pa

        content = block.content + b"\n" if block.is_last and not block.content.endswith(b"\n") else block.content
        content = _sound(content, block)
        if not content.isascii():
            content = self._spaced(content.decode())
        feeds = np.flatnonzero(np.frombuffer(content, np.uint8) == _NEWLINE)
        spaced = content.translate(self._table)
        is_space = np.frombuffer(b" " + spaced, np.uint8) == _SPACE
        starts = np.flatnonzero(is_space[:-1] & ~is_space[1:])
        offsets = np.append(starts, len(spaced)).astype(np.int32)
        if len(starts) and np.diff(offsets).max() > LONGEST_WORD:
            self._check_lengths(spaced, feeds, block)
        words = pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(spaced))
        return Sentences(words, np.searchsorted(starts, feeds))

    def _check_lengths(self, spaced: bytes, feeds: Int64[np.ndarray, " lines"], block: Block) -> None:
        place = 0
        for word in spaced.split(b" "):
            if len(word) > LONGEST_WORD:
                raise too_long(block.path, block.line + int((feeds < place).sum()))
            place += len(word) + 1

    def _spaced(self, text: str) -> bytes:
        """Text beyond ASCII such that ASCII's separators alone separate words."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.lower:
            text = text.lower()
        if self.letters:
            spaced = pc.replace_substring_regex(pa.scalar(text, pa.large_string()), _NO_LETTERS, " ")
            return bytes(spaced.as_buffer())
        for space in _WIDE_SPACES:
            text = text.replace(space, " ")
        return text.encode()

    @cached_property
    def _table(self) -> bytes:
        """For each byte, the one it becomes: a space for all that separate words, and with `lower` a small letter."""
        letters = string.ascii_letters.encode()
        separators = [code for code in range(128) if code not in letters] if self.letters else _ASCII_SPACES
        table = bytes(_SPACE if code in separators else code for code in range(256))
        return table.lower() if self.lower else table


def _sound(content: bytes, block: Block) -> bytes:
    """The content with nothing in place of the lines that are no text, which are left out."""
    if b"\0" not in content and _is_utf8(content):
        return content
    lines = content.split(b"\n")
    for row, line in enumerate(lines):
        place = f"{block.path} line {block.line + row}"
        if b"\0" in line:
            error = InputError(f"{place}: holds a zero byte, so it is not a text.")
        elif not _is_utf8(line):
            error = InputError(f"{place}: not UTF-8. Save the file as UTF-8.")
        else:
            continue
        reading.leave_out("line that is no text", place, error)
        lines[row] = b""
    return b"\n".join(lines)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
