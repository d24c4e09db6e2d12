"""Embeddings on disk: NumPy or Parquet files, and the gallery that search and report read."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from tellapart.errors import InputError
from tellapart.files import atomic_write
from tellapart.runs.run import Run

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Bool, Float, UInt8
    from torch import Tensor

SUFFIXES = (".npz", ".parquet")
MAX_SHOWN = 1500
_ROOM, _CUT = 2**22, 200  # letters that may be wasted, and those of a text that is cut
_KIND, _RANKED, _ASKED = "kind", "ranked", "asked"


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Named vectors, each with the kind of item it embeds ("picture", "text", "read", "node")."""

    names: list[str]
    kinds: list[str]
    vectors: Float[Tensor, "n d"]

    def __len__(self) -> int:
        return len(self.names)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.vectors.float().numpy(), dtype=dtype, copy=True if copy is None else copy)

    def save(self, path: Path) -> None:
        """Write `name`, `kind` and `embedding` to a `.npz` or `.parquet` file, in one step.

        An `.npz` gives each text the room of the longest. Where that would be much, longer ones are cut, and
        `name_text` holds all of them whole, joined by zero bytes, as UTF-8.

        Raises:
            InputError: another suffix, or the file cannot be written.
        """
        check_suffix(path)
        vectors, names = self.vectors.float().numpy(), writable(self.names)
        with atomic_write(path) as file:
            if path.suffix == ".npz":
                named = _texts_as_arrays("name", names)
                save: Any = np.savez if len(named) == 1 else np.savez_compressed
                save(file, **named, kind=np.array(self.kinds), embedding=vectors)
            else:
                columns = {"name": names, "kind": self.kinds, "embedding": _vector_column(self.vectors)}
                _write_parquet(file, columns)


def writable(texts: list[str]) -> list[str]:
    """Texts as UTF-8 can hold them: bytes of file names that are no letters become "?".

    >>> writable(["caf\\udce9.png"])
    ['caf?.png']
    """
    return [text.encode("utf-8", "replace").decode() for text in texts]


def _texts_as_arrays(name: str, texts: list[str]) -> dict[str, np.ndarray]:
    """Texts as an array, cut and once more as bytes if NumPy's equal room for each would take much more."""
    longest = max(map(len, texts), default=0)
    if longest * len(texts) <= _ROOM + 4 * sum(map(len, texts)):
        return {name: np.array(texts)}
    whole = np.frombuffer("\0".join(texts).encode(), dtype=np.uint8)
    return {name: np.array([text[:_CUT] for text in texts]), f"{name}_text": whole}


def check_suffix(path: Path) -> None:
    """Raise `InputError` unless the file's name ends in `.npz` or `.parquet`.

    >>> check_suffix(Path("embeddings.npz"))
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: the output must end in {' or '.join(SUFFIXES)}.")


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
            "embedding": _vector_column(self.vectors),
            "text_embedding": None if self.captions is None else _vector_column(self.captions),
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
        scores = self.vectors @ query
        hits: dict[str, Hit] = {}
        for i in scores.argsort(descending=True, stable=True).tolist():
            if len(hits) == k:
                break
            if self.names[i] not in hits:
                text, label = (None if column is None else column[i] for column in (self.texts, self.labels))
                score, held_out = scores[i].item(), bool(self.held_out[i])
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
            vectors = _vectors(table["embedding"])
            captions = _vectors(table["text_embedding"]) if "text_embedding" in table.column_names else None
            names, held_out = table["name"].to_pylist(), torch.tensor(table["held_out"].to_pylist())
            texts, thumbnails, labels = (
                table[name].to_pylist() if name in table.column_names else None
                for name in ("text", "thumbnail", "label")
            )
            told = table.schema.metadata or {}
            kind, ranked = told[_KIND.encode()].decode(), _RANKED.encode() in told
            asked = told.get(_ASKED.encode(), b"text").decode()
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            remedy = f"Make it anew with: {Run(path.parent).again()}"
            raise InputError(f"{path}: missing or damaged gallery of embeddings. {remedy}") from error
        return cls(names, texts, held_out, vectors, captions, thumbnails, labels, kind, ranked, asked)


def thumbnails(pictures: UInt8[Tensor, "n c size size"], wanted: Bool[Tensor, " n"]) -> list[bytes | None]:
    """PNG files of the first `MAX_SHOWN` wanted pictures, `None` for all others."""
    chosen = set(wanted.nonzero().flatten()[:MAX_SHOWN].tolist())
    return [_png(picture) if row in chosen else None for row, picture in enumerate(pictures)]


def _png(picture: Tensor) -> bytes:
    buffer = io.BytesIO()
    rows = picture[0] if len(picture) == 1 else picture.permute(1, 2, 0)
    Image.fromarray(rows.numpy()).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _vector_column(vectors: Tensor) -> pa.Array:
    import pyarrow as pa

    flat = pa.array(vectors.float().flatten().numpy())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def _vectors(column: pa.ChunkedArray) -> Tensor:
    whole = column.combine_chunks()
    return torch.from_numpy(np.stack(whole.to_numpy(zero_copy_only=False)).astype(np.float32))


def _write_parquet(file: io.BytesIO, columns: dict[str, object], metadata: dict[str, str] | None = None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns, metadata=metadata), file)
