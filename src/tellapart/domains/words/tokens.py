"""Cut text into words: at white space, with lower case and letters alone on request."""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tellapart.domains.words.reading import LONGEST_WORD, Block, too_long
from tellapart.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Int64

_NEWLINE = ord("\n")
_ASCII_SPACES = bytes(code for code in range(128) if chr(code).isspace())
# All other characters for which `str.isspace` holds.
_WIDE_SPACES = [chr(code) for code in range(128, 0x3001) if chr(code).isspace()]
_NO_LETTERS = r"[^\p{L}\p{M}\n]+"


class Sentences(NamedTuple):
    """The words of a block, and where its lines end among them."""

    words: pa.Array
    ends: Int64[np.ndarray, " lines"]
    """How many of the words are before the end of each line; a line that goes on in the next block has no entry."""


@dataclass(frozen=True)
class Tokens:
    """How text becomes words. White space separates them, that of `str.split`; only a line feed ends a line."""

    lower: bool = False
    """Change capitals to small letters."""
    letters: bool = False
    """Let all but letters and their accents separate words, too: "don't" becomes "don" and "t"."""

    def cut(self, block: Block) -> Sentences:
        """The words and lines of a block.

        Raises:
            InputError: not UTF-8, a zero byte, or a word of more than 1 MiB; the message names the line.
        """
        import pyarrow as pa

        content = block.content + b"\n" if block.is_last and not block.content.endswith(b"\n") else block.content
        if b"\0" in content:
            line = block.line + content.count(b"\n", 0, content.index(b"\0"))
            raise InputError(f"{block.path} line {line}: holds a zero byte, so it is not a text.")
        if not content.isascii():
            content = self._spaced(content, block)
        is_inside = np.frombuffer(content.translate(self._inside), np.bool_)
        edges = np.flatnonzero(np.diff(is_inside, prepend=False, append=False))
        starts, sizes = edges[::2], edges[1::2] - edges[::2]
        feeds = np.flatnonzero(np.frombuffer(content, np.uint8) == _NEWLINE)
        if len(sizes) and sizes.max() > LONGEST_WORD:
            raise too_long(block.path, block.line + int((feeds < starts[sizes.argmax()]).sum()))
        offsets = np.zeros(len(sizes) + 1, np.int32)
        np.cumsum(sizes, out=offsets[1:])
        packed = content.translate(self._letters, delete=self._separators)
        words = pa.StringArray.from_buffers(len(sizes), pa.py_buffer(offsets), pa.py_buffer(packed))
        return Sentences(words, np.searchsorted(starts, feeds))

    def _spaced(self, content: bytes, block: Block) -> bytes:
        """Text beyond ASCII such that ASCII's separators alone separate words."""
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line = block.line + content.count(b"\n", 0, error.start)
            raise InputError(f"{block.path} line {line}: not UTF-8. Save the file as UTF-8.") from error
        if self.lower:
            text = text.lower()
        if self.letters:
            spaced = pc.replace_substring_regex(pa.scalar(text, pa.large_string()), _NO_LETTERS, " ")
            return bytes(spaced.as_buffer())
        for space in _WIDE_SPACES:
            text = text.replace(space, " ")
        return text.encode()

    @cached_property
    def _separators(self) -> bytes:
        """Bytes that separate words."""
        letters = string.ascii_letters.encode()
        return bytes(code for code in range(128) if code not in letters) if self.letters else _ASCII_SPACES

    @cached_property
    def _inside(self) -> bytes:
        """For each byte, 1 if it is part of a word."""
        return bytes(code not in self._separators for code in range(256))

    @cached_property
    def _letters(self) -> bytes | None:
        """For each byte, the one it becomes."""
        return bytes(range(256)).lower() if self.lower else None
