"""Embeddings with their names, and the gallery that search and report read."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image

from tellapart import reading
from tellapart.errors import InputError
from tellapart.files import atomic_write
from tellapart.runs.formats import vector_column, vectors_of, writable, write
from tellapart.runs.index import Exact, Nearest
from tellapart.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int, UInt8
    from torch import Tensor

MAX_SHOWN = 1500
THUMBNAIL = 64
"""The longest side of a thumbnail, in pixels."""
_KIND, _RANKED, _ASKED = "kind", "ranked", "asked"


@dataclass(frozen=True, eq=False, repr=False)
class Embeddings:
    """Named vectors, each with the kind of item it embeds ("picture", "text", "read", "node")."""

    names: list[str]
    kinds: list[str]
    vectors: Float[Tensor, "n d"]

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        of = (
            reading.counted(len(self), self.kinds[0])
            if len(set(self.kinds)) == 1
            else reading.counted(len(self), "item")
        )
        return f"Embeddings({of}, {self.vectors.shape[1]} dimensions)"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.vectors.float().numpy(), dtype=dtype, copy=True if copy is None else copy)

    def save(self, path: Path) -> None:
        """Write `name`, `kind` and `embedding` to a `.parquet`, `.npz`, `.csv` or `.zarr`, in one step: see `write`.

        Raises:
            InputError: another ending, or the file cannot be written.
        """
        write([self], path)


def width_of(path: Path) -> int:
    """The length of a gallery's vectors, without reading them.

    Raises:
        InputError: the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_schema(path).field("embedding").type.list_size)
    except (pa.ArrowException, OSError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: missing or damaged. Train again into a new folder.") from error


class Hit(NamedTuple):
    """A row of the gallery that a query found."""

    name: str
    text: str | None
    score: float
    held_out: bool
    label: str | None = None
    kind: str = "picture"
    asked: str = "text"
    """The kind of what `text` names, in one word."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """The embeddings of all items of a run, with texts or labels if there are any; row i of each field is item i."""

    names: list[str]
    texts: list[str] | None
    held_out: Bool[Tensor, " n"]
    vectors: Float[Tensor, "n d"]
    captions: Float[Tensor, "n d"] | None
    """The embeddings of the texts."""
    thumbnails: list[bytes | None] | None
    """PNG files of at most `MAX_SHOWN` held-out rows, `None` for other rows; `None` if items are not pictures."""
    labels: list[str] | None = None
    kind: str = "picture"
    """The kind of items, in one word."""
    ranked: bool = False
    """Whether the first items matter most, and are to be shown."""
    asked: str = "text"
    """The kind of what `texts` name and `captions` embed, in one word."""

    def save(self, path: Path) -> None:
        """Write the gallery as one Parquet file.

        Raises:
            InputError: the file cannot be written.
        """
        columns = {
            "name": writable(self.names),
            "text": None if self.texts is None else writable(self.texts),
            "held_out": self.held_out.tolist(),
            "embedding": vector_column(self.vectors),
            "text_embedding": None if self.captions is None else vector_column(self.captions),
            "thumbnail": self.thumbnails,
            "label": None if self.labels is None else writable(self.labels),
        }
        with atomic_write(path) as file:
            known = {name: column for name, column in columns.items() if column is not None}
            _write_parquet(file, known, self._told())

    def _told(self) -> dict[str, str]:
        """What is kept beside the columns."""
        asked = {_ASKED: self.asked} if self.asked != "text" else {}
        return {_KIND: self.kind} | ({_RANKED: "yes"} if self.ranked else {}) | asked

    def shown(self) -> list[int]:
        """At most `MAX_SHOWN` rows for a page: with thumbnails, or the first, or held-out ones, or else random ones."""
        if self.thumbnails is not None:
            return [row for row, png in enumerate(self.thumbnails) if png is not None]
        if self.ranked:
            return list(range(min(MAX_SHOWN, len(self.names))))
        rows: list[int] = self.held_out.nonzero().flatten()[:MAX_SHOWN].tolist()
        return rows or sorted(np.random.default_rng(0).permutation(len(self.names))[:MAX_SHOWN].tolist())

    def best(self, query: Float[Tensor, " d"], k: int) -> list[Hit]:
        """The k items with the largest inner products with the query, each name once."""
        return self.search(query[None], k, Exact(self.vectors))[0]

    def search(self, queries: Float[Tensor, "q d"], k: int, nearest: Nearest) -> list[list[Hit]]:
        """The k items with the largest inner products with each query, each name once.

        Args:
            queries: a row each.
            k: how many items.
            nearest: what finds rows of `vectors`.
        """
        found: dict[int, list[Hit]] = {}
        pending, width, most = list(range(len(queries))), k, len(self.names)
        while pending:  # several rows may share a name, so that there must be more of them
            for number, (scores, rows) in zip(pending, nearest(queries[pending], width), strict=True):
                hits = self._hits(scores, rows)
                if len(hits) >= k or width >= most:
                    found[number] = hits[:k]
            pending, width = [number for number in pending if number not in found], min(2 * width, most)
        return [found[number] for number in range(len(queries))]

    def _hits(self, scores: Float[Tensor, " k"], rows: Int[Tensor, " k"]) -> list[Hit]:
        """These rows, the first of each name."""
        hits: dict[str, Hit] = {}
        for score, i in zip(scores.tolist(), rows.tolist(), strict=True):
            if self.names[i] not in hits:
                text, label = (None if column is None else column[i] for column in (self.texts, self.labels))
                held_out = bool(self.held_out[i])
                hits[self.names[i]] = Hit(self.names[i], text, score, held_out, label, self.kind, self.asked)
        return list(hits.values())

    @classmethod
    def load(cls, path: Path) -> Gallery:
        """Read a gallery.

        Raises:
            InputError: the file is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            vectors, captions = (
                torch.tensor(vectors_of(table[name])) if name in table.column_names else None
                for name in ("embedding", "text_embedding")
            )
            if vectors is None:
                raise KeyError("embedding")
            names, held_out = table["name"].to_pylist(), torch.tensor(table["held_out"].to_pylist())
            texts, thumbnails, labels = (
                table[name].to_pylist() if name in table.column_names else None
                for name in ("text", "thumbnail", "label")
            )
            told = table.schema.metadata or {}
            kind, ranked = told[_KIND.encode()].decode(), _RANKED.encode() in told
            asked = told.get(_ASKED.encode(), b"text").decode()
        except (pa.ArrowException, OSError, AttributeError, KeyError, ValueError) as error:
            run = Run(path.parent)
            remedy = f"Make it anew with: {run.again()}" if run.exists() else "It is in the run alone that was trained."
            raise InputError(f"{path}: missing or damaged gallery of embeddings. {remedy}") from error
        return cls(names, texts, held_out, vectors, captions, thumbnails, labels, kind, ranked, asked)


class InChunks(Protocol):
    """Pictures that are taken a chunk at a time."""

    @property
    def shape(self) -> torch.Size: ...
    def split(self, size: int, /) -> Sequence[Tensor]: ...


class PictureRows(Protocol):
    """Pictures, a tensor `(n, c, size, size)` or what takes its place where they are too many for the memory."""

    @property
    def shape(self) -> torch.Size: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> UInt8[Tensor, "*k c size size"]: ...
    def split(self, size: int, /) -> Sequence[UInt8[Tensor, "k c size size"]]: ...


def thumbnails(pictures: PictureRows, wanted: Bool[Tensor, " n"]) -> list[bytes | None]:
    """PNG files of the first `MAX_SHOWN` wanted pictures, `None` for others; no side is longer than `THUMBNAIL`."""
    shown: list[bytes | None] = [None] * len(pictures)
    for row in wanted.nonzero().flatten()[:MAX_SHOWN].tolist():
        shown[row] = _png(pictures[row])
    return shown


def _png(picture: Tensor) -> bytes:
    buffer = io.BytesIO()
    rows = picture[0] if len(picture) == 1 else picture.permute(1, 2, 0)
    image = Image.fromarray(rows.numpy())
    image.thumbnail((THUMBNAIL, THUMBNAIL))  # only ever smaller
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _write_parquet(file: io.BytesIO, columns: dict[str, object], metadata: dict[str, str] | None = None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns, metadata=metadata), file)
