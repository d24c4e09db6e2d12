"""Pictures without texts, with labels if there are any: the common form of folders and arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from tellapart import reading
from tellapart.domains import archives, tables
from tellapart.domains.folders import Labels, Layout, layout
from tellapart.domains.picture_files import find_pictures, is_picture
from tellapart.domains.pictures import arrays, idx, images
from tellapart.domains.pictures.arrays import Part
from tellapart.domains.pictures.openmoji import load_openmoji
from tellapart.domains.pictures.stored import Stored, all_pixels, chosen, in_channels, joined
from tellapart.domains.shards import read_tables
from tellapart.domains.sniff import suffix, unreadable
from tellapart.domains.texts import picked
from tellapart.errors import InputError, require_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Int, UInt8
    from torch import Tensor

    from tellapart.runs import PictureRows

_OPENMOJI_SIZE = 32


class Form(NamedTuple):
    """How a source is to be read where it could be read in several ways."""

    labels: Labels = "auto"
    table: tables.Form = tables.AS_IT_LIES


AS_IT_LIES = Form()


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Square pictures, grey or in colour, with labels if there are any."""

    content: PictureRows
    """The pictures, in memory or in a file."""
    labels: Int[Tensor, " n"] | None
    classes: list[str] | None
    """The name of label i; `None` if labels are only numbers, or missing."""
    names: list[str]
    """The names of the pictures: their files, or their rows."""

    def __len__(self) -> int:
        return len(self.content)

    @property
    def pictures(self) -> UInt8[Tensor, "n c size size"]:
        """The pictures in memory, for what is as small as a batch."""
        return self.content if isinstance(self.content, torch.Tensor) else self.content[:]

    def rows(self, index: Int[Tensor, " k"]) -> PictureSet:
        """The pictures at these rows, in this order and in memory: a batch."""
        return self._with(self.content[index], index)

    def part(self, index: Int[Tensor, " k"]) -> PictureSet:
        """The pictures at these rows, in this order; those in a file stay there."""
        return self._with(chosen(self.content, index), index)

    def _with(self, content: PictureRows, index: Int[Tensor, " k"]) -> PictureSet:
        labels = None if self.labels is None else self.labels[index]
        return PictureSet(content, labels, self.classes, [self.names[i] for i in index.tolist()])

    def label_names(self) -> list[str]:
        """The label of each picture, as text; there must be labels."""
        assert self.labels is not None
        return [str(label) if self.classes is None else self.classes[label] for label in self.labels.tolist()]

    def to(self, device: torch.device, non_blocking: bool = False) -> PictureSet:
        """The same set with pictures and labels on `device`."""
        pictures = self.pictures.to(device, non_blocking=non_blocking)
        labels = None if self.labels is None else self.labels.to(device, non_blocking=non_blocking)
        return PictureSet(pictures, labels, self.classes, self.names)

    def fingerprint(self) -> str:
        """A hash of all content, to detect that data changed between two commands."""
        digest = hashlib.sha256(str(tuple(self.content.shape)).encode())
        for pixels in all_pixels(self.content):
            digest.update(pixels)
        if self.labels is not None:
            digest.update(self.labels.cpu().numpy().tobytes())
        digest.update("\0".join([*(self.classes or ()), *self.names]).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def load_pictures(
    source: str, size: int | None = None, channels: int | None = None, form: Form = AS_IT_LIES
) -> PictureSet:
    """Load all pictures of a source, those for training first. Labels are kept if all parts have them.

    Args:
        source: as for `load_splits`.
        size: the pictures' side, in pixels; `None` keeps their size.
        channels: 1 for grey, 3 for colour; `None` keeps the pictures' own (picture files have 3).
        form: how folders and tables are to be read.

    Raises:
        InputError: as for `load_splits`.
    """
    training, test = load_splits(source, size, channels, form)
    if test is None:
        return training
    labels = None if training.labels is None or test.labels is None else torch.cat([training.labels, test.labels])
    pictures = joined(training.content, test.content)
    return PictureSet(pictures, labels, training.classes, training.names + test.names)


def load_splits(
    source: str, size: int | None = None, channels: int | None = None, form: Form = AS_IT_LIES
) -> tuple[PictureSet, PictureSet | None]:
    """Load pictures for training, and those of the source's own test set, or `None`.

    Picture files that are not square are centred on white, arrays on zeros.

    Args:
        source:
            - a folder of picture files at any depth, through links. If all pictures lie in two or more subfolders,
              their names are the labels. If these are called like splits (`train`, `Training`; `test`, `val`,
              `valid`, …), they are the two sets, and their own subfolders the labels. Of test and validation, the
              test set is taken;
            - a table, `.csv`, `.tsv` or `.parquet`, with a column `image` (a path, or in Parquet the picture itself)
              and perhaps `label`; or a `.tar` of samples, as webdataset writes it, or shards, as data-{000..003}.tar,
              or a folder of them;
            - a picture file, or "openmoji" (without labels);
            - a `.npy` file of `(n, h, w)`, `(n, h, w, c)` or `(n, c, h, w)`, uint8 or floating-point in [0, 1];
            - a `.npz` file with such an array `images` (or `x`, or the only one) and perhaps `labels` (or `y`),
              or with `x_train`, `x_test` and perhaps `y_train`, `y_test`, which are the two sets (or `train_images`,
              `train_labels`, … as in MedMNIST);
            - an idx file `…-images-idx3-ubyte` (or `.gz`), perhaps with `…-labels-idx1-ubyte` beside it; or a folder
              of these, where `train-…` and `t10k-…` are the two sets.
        size: the pictures' side, in pixels; `None` keeps their size, which must be the same for all.
        channels: 1 for grey, 3 for colour; `None` keeps the pictures' own (picture files have 3).
        form: how folders and tables are to be read.

    Raises:
        InputError: something is missing, broken or ambiguous; the message names the file.
    """
    require_option("size", size is None or 1 <= size <= 4096, "lie between 1 and 4096", size)
    require_option("channels", channels in (None, 1, 3), "be 1 or 3", channels)
    parts = [
        part._replace(pictures=in_channels(_squares(part.pictures, size), channels))
        for part in _parts(source, size, form)
    ]
    shapes = {tuple(part.pictures.shape[1:]) for part in parts}
    if len(shapes) > 1:
        listed = " and ".join("×".join(map(str, shape)) for shape in sorted(shapes))
        raise InputError(f"{source}: training and test pictures of {listed}. Give one size and number of channels.")
    training, *test = _numbered(parts, source)
    return training, test[0] if test else None


def _squares(pictures: PictureRows, size: int | None) -> PictureRows:
    """As `arrays.to_squares`; what is in a store is square, and has that size."""
    return pictures if isinstance(pictures, Stored) else arrays.to_squares(pictures[:], size)


def _parts(source: str, size: int | None, form: Form) -> list[Part]:
    if source == "openmoji":
        pairs = load_openmoji(size or _OPENMOJI_SIZE)
        return [Part(pairs.pictures, None, list(pairs.names))]
    paths = tables.named(source)
    path = paths[0]
    if path.is_dir():
        return idx.read_folder(path) or _read_shards(path, size, form) or _read_folder(path, size, form)
    if path.suffix.lower() in arrays.SUFFIXES:
        return arrays.read_numpy(path)
    if idx.is_images(path):
        return [idx.read_images(path)]
    if suffix(path) in tables.WITH_PICTURES:
        return [_read_tables(paths, size, form)]
    if is_picture(path):
        reading.read(1, "picture")
        return [Part(images.read_pictures([path], [""], size or images.common_side([path], [""])), None, [path.name])]
    remedy = "Give a folder, a picture, a table, a .npy or .npz file, or an idx file called …-images-idx3-ubyte"
    raise unreadable(path, "a file of pictures", f"{path}: not a file of pictures. {remedy}.")


def _read_shards(folder: Path, size: int | None, form: Form) -> list[Part]:
    """The pictures of the shards in a folder; none if it holds none."""
    if not _has_shards(folder):
        return []
    return [_read_tables(tables.find_tables(folder), size, form)]


def _has_shards(folder: Path) -> bool:
    """Whether there are tar shards in a folder, or Parquet files and no pictures beside them."""
    endings = {suffix(file) for file in folder.iterdir()}
    if endings & set(archives.TARS):
        return True
    with reading.accounted():
        return ".parquet" in endings and not find_pictures(folder)


def _read_tables(paths: list[Path], size: int | None, form: Form) -> Part:
    table = read_tables(paths, ("image", "label"), required=("image",), form=form.table)
    files, names = table.pictures("image")
    pictures, kept = images.read_whole(files, table.places, size or images.common_side(files, table.places))
    rows = torch.tensor(kept)
    labels = table.columns.get("label") if form.labels != "none" else None
    return Part(pictures, None if labels is None else np.array(picked(labels, rows)), picked(names, rows))


def files_of_folder(path: Path, form: Form = AS_IT_LIES) -> list[Path]:
    """The picture files of a folder in the order of `load_pictures`; none of a folder of idx files or of shards.

    Raises:
        InputError: there are none, or folders are called like splits and may be none.
    """
    if any(idx.is_images(file) for file in path.iterdir()) or _has_shards(path):
        return []
    return [file for part in _listed(path, form)[1] for file in part]


def _listed(path: Path, form: Form) -> tuple[Layout, list[list[Path]], str]:
    """How a folder is divided, the files for training and to measure with, and what the latter are called."""
    files = find_pictures(path)
    if not files:
        remedy = "Name another one, or a .npy or .npz file itself"
        raise InputError(f"{path}: the folder holds no pictures and no idx files. {remedy}.")
    found = layout(path, files, form.labels)
    parts = [found.parts["train"]]
    if held_out := [split for split in ("test", "validation") if split in found.parts]:
        parts.append(found.parts[held_out[0]])
        for split in held_out[1:]:
            unused = [str(file.relative_to(path)) for file in found.parts[split]]
            reading.pass_over(f"picture for {split}, of which the run makes no use", unused)
    return found, parts, held_out[0] if held_out else ""


def _read_folder(path: Path, size: int | None, form: Form) -> list[Part]:
    found, parts, held_out = _listed(path, form)
    wanted = [file for part in parts for file in part]
    places = [""] * len(wanted)
    pictures, kept = images.read_whole(wanted, places, size or images.common_side(wanted, places))
    read = [wanted[row] for row in kept]
    n_training = sum(row < len(parts[0]) for row in kept)
    bounds = [(0, n_training), (n_training, len(read))][: len(parts)]
    if found.labels is not None:
        reading.note(f"Labels are the folders: {reading.listed(sorted(set(found.labels.values())))}.")
    elif found.without:
        reading.note(found.without)
    if len(parts) > 1:
        reading.note(f"Train on {n_training}, and measure with the {len(read) - n_training} of {held_out}.")
    return [
        Part(
            chosen(pictures, slice(begin, end)),
            None if found.labels is None else np.array([found.labels[file] for file in read[begin:end]], dtype=np.str_),
            [file.relative_to(path).as_posix() for file in read[begin:end]],
        )
        for begin, end in bounds
    ]


def _numbered(parts: Sequence[Part], source: str) -> list[PictureSet]:
    """Replace names of labels by numbers, the same in all parts."""
    classes = _classes(parts, source)
    return [PictureSet(part.pictures, _numbers(part.labels, classes), classes, part.names) for part in parts]


def _classes(parts: Sequence[Part], source: str) -> list[str] | None:
    """The names of all labels; `None` if there are fewer than two."""
    given = [part.labels for part in parts if part.labels is not None]
    kinds = {labels.dtype.kind for labels in given}
    if len(kinds) > 1:
        raise InputError(f"{source}: labels are names in one part and numbers in the other. Use one kind.")
    names = sorted({str(name) for labels in given for name in labels}) if kinds == {"U"} else []
    return names if len(names) > 1 else None


def _numbers(labels: np.ndarray[Any, Any] | None, classes: list[str] | None) -> Int[Tensor, " n"] | None:
    if labels is None:
        return None
    if labels.dtype.kind != "U":
        return torch.from_numpy(labels)
    return None if classes is None else torch.from_numpy(np.searchsorted(classes, labels))
