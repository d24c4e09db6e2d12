"""What `fit` is given, written as the files that the systems read."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tellapart.errors import InputError, requirement


def write_pictures(given: Any, labels: Any, folder: Path) -> str:
    """Pictures in one array as .npz, others as a table; labels with them, if they are names or whole numbers."""
    known = None if labels is None else np.asarray(labels)
    known = known if known is not None and known.ndim == 1 and known.dtype.kind in "iubOU" else None
    if (array := _array(given)) is not None:
        if array.ndim < 3:
            must = "be pictures, (n, h, w), (n, h, w, c) or (n, c, h, w): reshape rows of pixels"
            raise InputError(requirement("X", must, f"shape {array.shape}"))
        named: dict[str, Any] = (
            {} if known is None else {"labels": known if known.dtype.kind in "iu" else known.astype(str)}
        )
        np.savez(folder / "pictures.npz", images=array, **named)
        return str(folder / "pictures.npz")
    columns: dict[str, Any] = {"image": _pictures(given)}
    if known is not None:
        columns["label"] = [str(label) for label in known.tolist()]
    return _write_table(columns, folder / "pictures.parquet")


def write_captioned(pictures: Any, captions: Any, folder: Path) -> str:
    """Pictures with their texts, as a table."""
    return _write_table({"image": _pictures(pictures), "text": texts(captions, "text")}, folder / "pairs.parquet")


def write_translations(sources: Any, targets: Any, folder: Path) -> str:
    """Sentences and translations, a pair a line."""
    rows = zip(texts(sources, "sentence"), texts(targets, "sentence"), strict=True)
    lines = ("\t".join(" ".join(side.split()) for side in row) for row in rows)
    return _write_lines(lines, folder / "pairs.tsv")


def write_texts(given: Sequence[str], folder: Path) -> str:
    """Texts, one a line."""
    return _write_lines((" ".join(text.split()) for text in given), folder / "texts.txt")


def write_sequences(given: Sequence[str], labels: Any, folder: Path) -> str:
    """Sequences as FASTA, called by their rows: a file, or a file for each label."""
    known = ["sequences"] * len(given) if labels is None else [str(label) for label in np.asarray(labels).tolist()]
    if len(known) != len(given):
        raise InputError(requirement("y", f"have a label for each of {len(given)} sequences", len(known)))
    made: dict[str, list[str]] = {}
    for row, (label, letters) in enumerate(zip(known, given, strict=True)):
        made.setdefault(label, []).append(f">{row}\n{letters}")
    for label, records in made.items():
        _write_lines(records, folder / f"{quote(label, safe=' ')}.fasta")
    return str(folder)


def column(given: Any) -> Any:
    """The only column of a data frame or of an array of objects; anything else as it is.

    Raises:
        InputError: several columns.
    """
    is_frame = hasattr(given, "iloc") and getattr(given, "ndim", 1) == 2
    if not is_frame and not (isinstance(given, np.ndarray) and given.ndim == 2 and given.dtype.kind in "OU"):
        return given
    if given.shape[1] != 1:
        raise InputError(f"`X` must be a single column. Got {given.shape[1]}.")
    return given.iloc[:, 0] if is_frame else given[:, 0]


def pairs(given: Any, others: Any, what: str) -> tuple[Any, Any]:
    """Both sides of pairs, of the same length.

    Raises:
        InputError: neither two columns nor a list of pairs, without y; or sides of different lengths.
    """
    if others is None:
        sides = _sides(given)
        if sides is None:
            must = f"be pairs of {what}, in two columns, or come with y"
            raise InputError(requirement("X", must, type(given).__name__))
        return sides
    if len(given) != len(others):
        raise InputError(requirement("y", f"have one item for each of {len(given)} of X", len(others)))
    return column(given), others


def first_of_pairs(given: Any) -> Any:
    """The first of each pair, if these are pairs; otherwise what is given."""
    sides = _sides(given)
    return column(given) if sides is None else sides[0]


def as_items(given: Any) -> Any:
    """An array of numbers or a list; of an array of objects and of a column a list of its items."""
    array = _array(given)
    return array if array is not None else list(given)


def texts(given: Any, what: str) -> list[str]:
    """Texts in a list.

    Raises:
        InputError: something that is no text; the message names its row.
    """
    items = [given] if isinstance(given, str) else list(given)
    for row, item in enumerate(items):
        if not isinstance(item, str):
            raise InputError(f"`X` row {row}: must be a {what}. Got {type(item).__name__}.")
    return items


def _sides(given: Any) -> tuple[Any, Any] | None:
    if hasattr(given, "iloc") and getattr(given, "ndim", 1) == 2 and given.shape[1] == 2:
        return given.iloc[:, 0], given.iloc[:, 1]
    if isinstance(given, np.ndarray):
        is_table = given.ndim == 2 and given.shape[1] == 2 and given.dtype.kind in "OU"
        return (given[:, 0], given[:, 1]) if is_table else None
    if isinstance(given, (list, tuple)) and given and all(isinstance(x, (list, tuple)) and len(x) == 2 for x in given):
        return [pair[0] for pair in given], [pair[1] for pair in given]
    return None


def _array(given: Any) -> np.ndarray[Any, Any] | None:
    """An array or a tensor of numbers; `None` for anything else."""
    if hasattr(given, "detach"):
        given = given.detach().cpu().numpy()
    return given if isinstance(given, np.ndarray) and given.dtype.kind not in "OU" else None


def _pictures(given: Any) -> pa.Array:
    """Pictures as a column: the names of their files, or the contents of PNG files."""
    array = _array(given)
    items = list(given if array is None else array)
    if all(isinstance(item, (str, Path)) for item in items):
        return pa.array([str(Path(item).resolve()) for item in items], pa.string())
    return pa.array([_png(item, row) for row, item in enumerate(items)], pa.binary())


def _png(item: Any, row: int) -> bytes:
    if isinstance(item, (str, Path)):
        return Path(item).read_bytes()
    if not isinstance(item, Image.Image):
        array = _array(item)
        if array is None:
            raise InputError(f"`X` row {row}: must be a picture. Got {type(item).__name__}.")
        item = Image.fromarray(_bytes(array, row))
    buffer = io.BytesIO()
    item.save(buffer, "PNG")
    return buffer.getvalue()


def _bytes(array: np.ndarray[Any, Any], row: int) -> np.ndarray[Any, Any]:
    """One picture as uint8, (h, w) or (h, w, c)."""
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = np.moveaxis(array, 0, 2)
    if array.ndim not in (2, 3):
        raise InputError(f"`X` row {row}: must be a picture, (h, w) or (h, w, c). Got shape {array.shape}.")
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise InputError(f"`X` row {row}: floating-point pictures must lie in [0, 1]. Got {array.max():g}.")
        array = np.rint(array * 255)
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return np.ascontiguousarray(array.astype(np.uint8))


def _write_table(columns: dict[str, Any], path: Path) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def _write_lines(lines: Iterable[str], path: Path) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)
