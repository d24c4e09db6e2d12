"""Pictures to embed in parts: files are decoded when their part is embedded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.domains.given import is_source
from tellapart.domains.picture_files import find_pictures
from tellapart.domains.pictures import arrays, images
from tellapart.domains.pictures.given import as_pictures
from tellapart.domains.pictures.picture_sets import files_of_folder
from tellapart.errors import InputError, exists
from tellapart.runs import Embeddings, Parts, Query, in_rows

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor

    from tellapart.domains.pictures.options import ImageShape
    from tellapart.domains.texts import Source
    from tellapart.runs import PictureRows

    Encode = Callable[[UInt8[Tensor, "n c side side"]], Float[Tensor, "n d"]]


def picture_parts(given: Any, shape: ImageShape, encode: Encode) -> Parts:
    """The parts of what `as_pictures` takes; of a folder of picture files no more than a part is decoded at a time.

    Args:
        given: as for `as_pictures`.
        shape: as for `as_pictures`.
        encode: pictures of this shape to vectors.

    Raises:
        InputError: as for `as_pictures`.
    """
    if is_source(given) and exists(str(given)) and (path := Path(given)).is_dir():
        files = files_of_folder(path)
        if files:
            names = [file.relative_to(path).as_posix() for file in files]
            return parts_of_files(files, [""] * len(files), names, shape, encode)
    found = as_pictures(given, shape)
    return parts_of_pictures(found.content, found.names, encode)


def parts_of_pictures(pictures: PictureRows, names: Sequence[str], encode: Encode) -> Parts:
    """The parts of pictures that are in memory."""

    def made(rows: slice) -> Embeddings:
        return Embeddings(list(names[rows]), ["picture"] * len(names[rows]), encode(pictures[rows]))

    def content(rows: slice) -> Iterator[bytes]:
        for name, picture in zip(names[rows], pictures[rows], strict=True):
            yield name.encode("utf-8", "replace")
            yield picture.numpy().tobytes()

    return in_rows(len(names), made, content)


def parts_of_files(
    files: Sequence[Source], places: Sequence[str], names: Sequence[str], shape: ImageShape, encode: Encode
) -> Parts:
    """The parts of picture files, or of their contents.

    Args:
        files: which.
        places: what names each in messages; may be empty.
        names: what each is called.
        shape: side and channels that they are brought to.
        encode: pictures of this shape to vectors.
    """

    def made(rows: slice) -> Embeddings:
        pictures, kept = images.read_whole(files[rows], places[rows], shape.side)
        vectors = encode(arrays.to_channels(pictures[:], shape.channels))
        return Embeddings([names[rows][i] for i in kept], ["picture"] * len(kept), vectors)

    def content(rows: slice) -> Iterator[bytes]:
        for name, file in zip(names[rows], files[rows], strict=True):
            yield name.encode("utf-8", "replace")
            yield _state(file) if isinstance(file, Path) else file if isinstance(file, bytes) else file.read()

    return in_rows(len(files), made, content)


def picture_queries(folder: Path) -> list[Query]:
    """Each picture of a folder as a query.

    Raises:
        InputError: there are none.
    """
    files = find_pictures(folder)
    if not files:
        raise InputError(f"{folder}: the folder holds no pictures.")
    return [Query(file.relative_to(folder).as_posix(), file) for file in files]


def _state(file: Path) -> bytes:
    """What changes if a file does: its size and the time of its last change."""
    try:
        found = file.stat()
    except OSError:
        return b"missing"
    return f"{found.st_size} {found.st_mtime_ns}".encode()
