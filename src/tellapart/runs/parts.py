"""A source in parts, each of which is embedded by itself: no more than one needs to be in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch

from tellapart import reading
from tellapart.errors import InputError
from tellapart.runs.gallery import Embeddings

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.runs.finished import FinishedRun

ROWS = 2**8
"""Items of a part, a multiple of what encoders of pictures take at once."""
TEXTS = 2**12
"""Texts of a part: enough to have many of similar lengths."""


@dataclass(frozen=True)
class Part:
    """Some items of a source, in its order."""

    embed: Callable[[], Embeddings]
    content: Callable[[], Iterable[bytes]] | None = None
    """What the items are, to tell whether they changed; or that is not known, as of what a program hands in."""
    behind: float | None = None
    """The share of the source that is behind once these are embedded, if it is known."""

    def digest(self) -> str:
        """A hash of the content; "" if that is not known."""
        if self.content is None:
            return ""
        found = hashlib.blake2b(digest_size=16)
        for piece in self.content():
            found.update(len(piece).to_bytes(8, "little"))
            found.update(piece)
        return found.hexdigest()


Parts = Iterator[Part]


def in_one(read: Callable[[FinishedRun, Any, Any], Embeddings]) -> Callable[[FinishedRun, Any, Any], Parts]:
    """A function that embeds a source at once as one that gives it as a single part."""

    @wraps(read)
    def parts(finished: FinishedRun, encoder: Any, source: Any) -> Parts:
        yield Part(lambda: read(finished, encoder, source))

    return parts


def in_rows(
    n: int, embed: Callable[[slice], Embeddings], content: Callable[[slice], Iterable[bytes]], rows: int | None = None
) -> Parts:
    """The parts of n items, so many rows each.

    Args:
        n: how many items there are.
        embed: called as `embed(slice)`: the embeddings of these items.
        content: called as `content(slice)`: what they are, for `Part.content`.
        rows: items of a part; by default `ROWS`.

    >>> [part.behind for part in in_rows(3, lambda rows: None, lambda rows: [], rows=2)]
    [0.6666666666666666, 1.0]
    """
    size = rows or ROWS
    for start in range(0, n, size):
        some = slice(start, min(start + size, n))
        yield Part(lambda some=some: embed(some), lambda some=some: content(some), some.stop / n)  # type: ignore[misc]


def in_texts(texts: Sequence[str], kind: str, encode: Callable[[Sequence[str]], Float[Tensor, "n d"]]) -> Parts:
    """The parts of texts, which are called by themselves.

    Args:
        texts: all of them.
        kind: what they are, in one word.
        encode: texts to vectors.
    """

    def made(rows: slice) -> Embeddings:
        some = list(texts[rows])
        return Embeddings(some, [kind] * len(some), encode(some))

    def content(rows: slice) -> Iterator[bytes]:
        return (text.encode("utf-8", "replace") for text in texts[rows])

    return in_rows(len(texts), made, content, TEXTS)


def joined(*several: tuple[int, Parts]) -> Parts:
    """The parts of several things, one after another, each given with the number of its items."""
    total, before = sum(n for n, _ in several), 0
    for n, parts in several:
        for part in parts:
            yield replace(part, behind=None if part.behind is None else (before + n * part.behind) / total)
        before += n


def embedded(part: Part) -> tuple[Embeddings | None, reading.Account]:
    """The embeddings of a part, or `None` if all that it holds is broken; and what was read of it.

    Raises:
        InputError: a broken item where none may be left out, or another mistake.
    """
    with reading.of_a_part() as account:
        try:
            return part.embed(), account
        except InputError as error:
            if error is not reading.first_broken():
                raise
            return None, account


def gathered(parts: Iterable[Part]) -> Embeddings:
    """All parts, embedded, in memory.

    Raises:
        InputError: as for `embedded`, or more items were broken than read.
    """
    made, accounts = [], []
    for part in parts:
        found, account = embedded(part)
        made += [] if found is None else [found]
        accounts.append(account)
    reading.enter_parts(accounts)
    if len(made) == 1:
        return made[0]
    names = [name for one in made for name in one.names]
    return Embeddings(names, [kind for one in made for kind in one.kinds], torch.cat([one.vectors for one in made]))
