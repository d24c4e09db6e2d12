"""Micrographs to train on: what is read of a source, each a field of pixels that may lie on the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tellapart import reading
from tellapart.domains.folders import below_wrappers
from tellapart.domains.micrographs.read import Plane, read_planes
from tellapart.domains.micrographs.structures import KINDS, generate
from tellapart.domains.picture_files import find_pictures
from tellapart.errors import InputError, existing

if TYPE_CHECKING:
    from jaxtyping import Num

    from tellapart.domains.micrographs.options import MicrographOptions

GENERATED = "generated"
_OF_A_KIND, _SIDE = 12, 256
_ROWS = 2**24  # bytes of a field that are checked at a time


@dataclass(frozen=True, eq=False)
class Micrograph:
    """One field: pixels `(h, w)`, or `(h, w, c)` in colour, in memory or on the disk."""

    name: str
    pixels: Num[np.ndarray, "h w *c"]
    specimen: str
    """What it was taken of: fields of one specimen are counterparts."""
    label: str | None = None
    pixel_size: float | None = None
    """In micrometres."""

    def scale(self, pixel_size: float) -> float:
        """How many of its pixels are as long as one of `pixel_size` micrometres; 1 for 0, its own.

        Raises:
            InputError: the file does not tell its pixel size.
        """
        if not pixel_size:
            return 1.0
        if self.pixel_size is None:
            remedy = "Leave out pixel_size, to take pixels as they come, or write it into the file"
            raise InputError(f"{self.name}: the file does not tell the size of its pixels. {remedy}.")
        return pixel_size / self.pixel_size


@dataclass(frozen=True, eq=False)
class Micrographs:
    """All fields of a source."""

    fields: list[Micrograph]
    left_out: list[str]
    """What was read and is not among them, in words."""
    fingerprint: str
    """A hash of all content, to detect that data changed between two commands."""


def load_micrographs(source: str, options: MicrographOptions) -> Micrographs:
    """Read a micrograph, or all in a folder at any depth; or make those of `generated`.

    A TIFF with several pages gives several micrographs of one specimen. Subfolders are labels.

    Args:
        source: a TIFF, a PNG or another picture; a folder of them; or "generated", 12 fields of each made-up kind.
        options: the size of a patch, than which smaller fields are left out and counted; the size of pixels; which
            micrographs are of one specimen; and whether they are label images.

    Raises:
        InputError: nothing that can be read, a broken file, or a pixel size that is needed and not known.
    """
    if source == GENERATED:
        return _generated()
    path = existing(source)
    files = find_pictures(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: the folder holds no micrographs. Put in TIFF, PNG or other pictures.")
    as_grains = options.content == "grains"
    fields, fingerprint = _read(path, files, options)
    if any(field.label is None for field in fields):  # a label that some lack tells nothing
        fields = [_without_label(field) for field in fields]
    large = [
        field for field in fields if min(field.pixels.shape[:2]) / field.scale(options.pixel_size) >= options.patch
    ]
    if not large:
        what = f"no micrograph is as large as a patch, {options.patch} pixels"
        raise InputError(f"{path}: {what}. Choose a smaller patch.")
    kept = _worth_seeing(large, as_grains)
    reading.read(len(kept), "micrograph")
    n_small = len(fields) - len(large)
    reading.pass_over("micrograph smaller than a patch", [""] * n_small)
    left_out = [f"{n_small} of {len(fields)} micrographs are left out: smaller than a patch."] if n_small else []
    return Micrographs(kept, left_out, fingerprint)


def _read(path: Path, files: list[Path], options: MicrographOptions) -> tuple[list[Micrograph], str]:
    """All fields of files, and a hash of their contents. Files that cannot be read are broken items."""
    digest, fields = hashlib.sha256(), list[Micrograph]()
    places = {file: file.relative_to(path) if path.is_dir() else Path(file.name) for file in files}
    depth = below_wrappers([place.parts for place in places.values()])
    for file, place in places.items():
        label = place.parts[depth] if len(place.parts) > depth + 1 else None
        of = place.parent if options.specimen == "folder" else place
        try:
            planes = read_planes(file, options.content == "grains")
        except InputError as error:
            reading.leave_out("broken picture", place.as_posix(), error)
            continue
        digest.update(f"{place.as_posix()}\0{_content(file)}\0".encode("utf-8", "surrogateescape"))
        fields += [_micrograph(place.as_posix(), plane, of.as_posix(), label) for plane in planes]
    if not fields:
        raise reading.first_broken() or InputError(f"{path}: holds no micrographs.")
    return fields, digest.hexdigest()


def _worth_seeing(fields: list[Micrograph], as_grains: bool) -> list[Micrograph]:
    """The fields in which there is something to see; the others are broken items."""
    kept = []
    for field in fields:
        try:
            check_values(field, as_grains)
        except InputError as error:
            reading.leave_out("micrograph with nothing to see", field.name, error)
        else:
            kept.append(field)
    if not kept:
        raise reading.first_broken() or InputError(f"{fields[0].name}: nothing to see.")
    return kept


def check_values(field: Micrograph, as_grains: bool = False) -> None:
    """Raise `InputError` unless all values are finite and not all the same; a band of rows at a time.

    Of label images they must be whole numbers, one a pixel.
    """
    pixels = field.pixels
    if as_grains and (pixels.ndim != 2 or pixels.dtype.kind not in "iu"):
        what = f"{pixels.dtype} in colour" if pixels.ndim == 3 else str(pixels.dtype)
        raise InputError(f"{field.name}: a label image must have one whole number a pixel. Got {what}.")
    rows = max(1, _ROWS // max(1, pixels[0].nbytes))
    low, high = np.inf, -np.inf
    for start in range(0, len(pixels), rows):
        band = np.asarray(pixels[start : start + rows])
        if band.dtype.kind == "f" and not np.isfinite(band).all():
            raise InputError(f"{field.name}: some values are not finite. Replace them, or leave the file out.")
        low, high = min(low, float(band.min())), max(high, float(band.max()))
    if low == high:
        raise InputError(f"{field.name}: all pixels have the value {low:g}, there is nothing to see. Leave it out.")


def of_arrays(arrays: Sequence[tuple[str, np.ndarray]], as_grains: bool = False) -> list[Micrograph]:
    """Named arrays as micrographs, each checked.

    Raises:
        InputError: an array is no field of numbers, or has nothing to see.
    """
    fields = []
    for name, array in arrays:
        if array.ndim not in (2, 3) or array.dtype.kind not in "uif" or 0 in array.shape:
            what = f"an array of {array.dtype} of shape {array.shape}"
            raise InputError(f"{name}: {what}. Give numbers of shape (h, w), or (h, w, 3) in colour.")
        if array.ndim == 3 and array.shape[2] > 4:
            raise InputError(f"{name}: an array of shape {array.shape} is no micrograph. Give each page by itself.")
        fields.append(Micrograph(name, array, name))
        check_values(fields[-1], as_grains)
    return fields


def _micrograph(name: str, plane: Plane, specimen: str, label: str | None) -> Micrograph:
    return Micrograph(f"{name}{plane.page}", plane.pixels, specimen, label, plane.pixel_size)


def _without_label(field: Micrograph) -> Micrograph:
    return Micrograph(field.name, field.pixels, field.specimen, None, field.pixel_size)


def _content(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _generated() -> Micrographs:
    fields = [
        Micrograph(f"{kind}/{seed}", generate(kind, _SIDE, seed).image, f"{kind}/{seed}", kind)
        for kind in KINDS
        for seed in range(_OF_A_KIND)
    ]
    digest = hashlib.sha256(b"".join(field.pixels.tobytes() for field in fields))
    return Micrographs(fields, [], digest.hexdigest())
