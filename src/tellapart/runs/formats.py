"""The files that embeddings are written to, one part after another: Parquet, NumPy, CSV and zarr."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.errors import InputError
from tellapart.files import atomic_stream, new_folder
from tellapart.pretrained import library

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.runs.gallery import Embeddings

_GROUP = 2**13  # rows of a row group of Parquet, and of a chunk of zarr
_ROOM, _CUT = 2**22, 200  # letters that may be wasted, and those of a text that is cut


def write(parts: Iterable[Embeddings], path: Path) -> tuple[int, int]:
    """Write named vectors in the format that the file's name asks for, in one step; how many there are, and of which
    length.

    Of Parquet, CSV and zarr no more is in memory than a few thousand rows.

    - `.parquet`: the columns `name`, `kind` and `embedding`, a list of float32 numbers of one length;
    - `.npz`: arrays of these names. An array of texts gives each the room of the longest. Where that would be much,
      longer ones are cut, and `name_text` holds all of them whole, joined by zero bytes, as UTF-8;
    - `.csv`: the columns `name`, `kind`, `embedding_0`, `embedding_1`, and so on;
    - `.zarr`: a group with arrays of these names, in a new folder.

    Raises:
        InputError: another ending, or the file cannot be written.
    """
    check_suffix(path)
    return _WRITERS[path.suffix](parts, path)


def check_suffix(path: Path) -> None:
    """Raise `InputError` unless the name's ending is that of a format, and its package is there.

    >>> check_suffix(Path("embeddings.npz"))
    """
    if path.suffix not in _WRITERS:
        *others, last = _WRITERS
        raise InputError(f"{path}: the output must end in {', '.join(others)} or {last}.")
    if path.suffix != ".zarr" and path.is_dir():
        raise InputError(f"{path}: cannot write, it is a folder. Choose another name.")
    if path.suffix == ".zarr":
        library("zarr", "zarr")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{path}: exists and is not an empty folder. Choose another one.")


def writable(texts: list[str]) -> list[str]:
    """Texts as UTF-8 can hold them: bytes of file names that are no letters become "?".

    >>> writable(["caf\\udce9.png"])
    ['caf?.png']
    """
    return [text.encode("utf-8", "replace").decode() for text in texts]


def vector_column(vectors: Float[Tensor, "n d"]) -> pa.Array:
    """Vectors as a column of lists of one length."""
    import pyarrow as pa

    flat = pa.array(vectors.float().flatten().numpy())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def vectors_of(column: pa.ChunkedArray) -> Float[np.ndarray, "n d"]:
    """Such a column as one array."""
    whole = column.combine_chunks()
    flat: np.ndarray = whole.flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32, copy=False).reshape(len(whole), -1)


def as_table(part: Embeddings, metadata: dict[str, str] | None = None) -> pa.Table:
    """Embeddings as a table of Arrow."""
    import pyarrow as pa

    columns = {"name": writable(part.names), "kind": part.kinds, "embedding": vector_column(part.vectors)}
    return pa.table(columns, metadata=metadata)


def _write_parquet(parts: Iterable[Embeddings], path: Path) -> tuple[int, int]:
    import pyarrow.parquet as pq

    n, width = 0, 0
    with atomic_stream(path) as file:
        groups = _row_groups(parts)
        first = next(groups)
        with closing(pq.ParquetWriter(file, first.schema)) as writer:
            writer.write_table(first, row_group_size=_GROUP)
            n, width = len(first), first.schema.field("embedding").type.list_size
            for table in groups:
                writer.write_table(table, row_group_size=_GROUP)
                n += len(table)
    return n, width


def _row_groups(parts: Iterable[Embeddings]) -> Iterator[pa.Table]:
    """Parts together, until they fill a row group; at least one table, which may be empty."""
    import pyarrow as pa

    tables: list[pa.Table] = []
    for part in parts:
        tables.append(as_table(part))
        if sum(map(len, tables)) >= _GROUP:
            yield pa.concat_tables(tables)
            tables = []
    if tables:
        yield pa.concat_tables(tables)


def _write_npz(parts: Iterable[Embeddings], path: Path) -> tuple[int, int]:
    made = list(parts)
    names, kinds = ([text for part in made for text in getattr(part, field)] for field in ("names", "kinds"))
    vectors = np.concatenate([part.vectors.float().numpy() for part in made])
    named = _texts_as_arrays("name", writable(names))
    save: Any = np.savez if len(named) == 1 else np.savez_compressed
    with atomic_stream(path) as file:
        save(file, **named, kind=np.array(kinds), embedding=vectors)
    return vectors.shape


def _texts_as_arrays(name: str, texts: list[str]) -> dict[str, np.ndarray]:
    """Texts as an array, cut and once more as bytes if NumPy's equal room for each would take much more."""
    longest = max(map(len, texts), default=0)
    if longest * len(texts) <= _ROOM + 4 * sum(map(len, texts)):
        return {name: np.array(texts)}
    whole = np.frombuffer("\0".join(texts).encode(), dtype=np.uint8)
    return {name: np.array([text[:_CUT] for text in texts]), f"{name}_text": whole}


def _write_csv(parts: Iterable[Embeddings], path: Path) -> tuple[int, int]:
    n, width = 0, 0
    with atomic_stream(path) as file:
        rows = csv.writer(codecs.getwriter("utf-8")(file))
        for part in parts:
            if not n:
                width = part.vectors.shape[1]
                rows.writerow(["name", "kind", *(f"embedding_{i}" for i in range(width))])
            n += len(part)
            # Nine digits are enough for float32 to come back as it was.
            numbers = ([f"{x:.9g}" for x in vector] for vector in part.vectors.float().tolist())
            columns = zip(writable(part.names), part.kinds, numbers, strict=True)
            rows.writerows([name, kind, *vector] for name, kind, vector in columns)
    return n, width


def _write_zarr(parts: Iterable[Embeddings], path: Path) -> tuple[int, int]:
    zarr = library("zarr", "zarr")
    n, width = 0, 0
    with new_folder(path) as folder:
        group = zarr.open_group(folder, mode="w")
        for table in _row_groups(parts):
            if not n:
                width = table.schema.field("embedding").type.list_size
                group.create_array("embedding", shape=(0, width), chunks=(_GROUP, width), dtype="float32")
                for name in ("name", "kind"):
                    group.create_array(name, shape=(0,), chunks=(_GROUP,), dtype="str")
            n += len(table)
            group["embedding"].append(vectors_of(table["embedding"]))
            for name in ("name", "kind"):
                group[name].append(np.array(table[name].to_pylist(), dtype=object))
    return n, width


_WRITERS: dict[str, Callable[[Iterable[Embeddings], Path], tuple[int, int]]] = {
    ".parquet": _write_parquet,
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".zarr": _write_zarr,
}
