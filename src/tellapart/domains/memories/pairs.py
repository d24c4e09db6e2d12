"""Paired arrays: read from an .npz, or cut from pictures."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from tellapart.domains.held_out import divide
from tellapart.errors import InputError, existing

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped, UInt8
    from torch import Tensor


class PictureSet(Protocol):
    """Pictures with names."""

    @property
    def pictures(self) -> UInt8[Tensor, "n c side side"]: ...
    @property
    def names(self) -> list[str]: ...


LoadPictures = Callable[[str], tuple[PictureSet, PictureSet | None]]
"""Loads pictures for training and those of a test set, or `None`."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Items that ask, and the items that they ask for, row by row."""

    queries: Shaped[Tensor, "n *query"]
    keys: Shaped[Tensor, "n *key"]
    names: list[str]
    key_ids: Int[Tensor, " n"]
    """The same for equal keys."""
    n_training: int | None = None
    """How many of the first rows are for training, where the data say so."""

    def __len__(self) -> int:
        return len(self.queries)

    def rows(self, index: Int[Tensor, " k"]) -> Pairs:
        """The pairs at these rows, in this order."""
        names = [self.names[i] for i in index.tolist()]
        return Pairs(self.queries[index], self.keys[index], names, self.key_ids[index])

    def split(self, share: float, seed: int) -> tuple[Int[Tensor, " t"], Int[Tensor, " h"]]:
        """Rows for training and rows held out; equal keys are on one side, unless the data have a test set."""
        if self.n_training is not None:
            return torch.arange(self.n_training), torch.arange(self.n_training, len(self))
        return divide(self.key_ids.numpy(), share, seed)

    def fingerprint(self) -> str:
        """A hash of all content, to detect that data changed between two commands."""
        digest = hashlib.sha256()
        for side in (self.queries, self.keys):
            digest.update(str((side.dtype, tuple(side.shape))).encode())
            digest.update(side.numpy().tobytes())
        return digest.hexdigest()


def load_pairs(source: str, load_pictures: LoadPictures) -> Pairs:
    """The pairs of a source.

    Args:
        source: an `.npz` with the arrays `queries` and `keys`, numbers, of as many rows; or what `load_pictures` takes,
            of which the left half of each picture asks for its right half.
        load_pictures: reads pictures.

    Raises:
        InputError: something is missing, broken or too few, or does not fit; the message names it.
    """
    path = Path(source)
    found = _read_npz(existing(source)) if path.suffix.lower() == ".npz" and _is_paired(path) else None
    pairs = _halves(source, *load_pictures(source)) if found is None else found
    if len(torch.unique(pairs.key_ids)) < 4:
        raise InputError(f"{source}: fewer than 4 different keys. At least 4 are needed, to train and to measure.")
    return pairs


def _is_paired(path: Path) -> bool:
    """Whether an .npz names queries or keys; what cannot be read is left to `_read_npz`, which says so."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return bool({"queries", "keys"} & set(content.files))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return True


def _read_npz(path: Path) -> Pairs:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays: dict[str, Any] = {name: content[name] for name in content.files if name in ("queries", "keys")}
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        raise InputError(f"{path}: damaged, or no plain numbers. Write it with numpy.savez.") from error
    if len(arrays) < 2:
        raise InputError(f"{path}: holds no array {'keys' if 'queries' in arrays else 'queries'}. Add it.")
    for name, array in arrays.items():
        _check(array, f"{path}, array {name}")
    n, m = map(len, arrays.values())
    if n != m:
        rows = " and ".join(f"{len(array)} {name}" for name, array in arrays.items())
        raise InputError(f"{path}: {rows}. Row i of one belongs to row i of the other: give as many.")
    queries, keys = (torch.from_numpy(_numbers(arrays[name])) for name in ("queries", "keys"))
    return Pairs(queries, keys, [str(row) for row in range(n)], _ids(keys))


def _check(array: np.ndarray[Any, Any], place: str) -> None:
    if array.dtype.kind not in "biuf":
        raise InputError(f"{place}: holds {array.dtype}, not numbers. Convert it.")
    if array.ndim < 2 or 0 in array.shape:
        raise InputError(
            f"{place}: shape {array.shape}. Give a row of numbers, or an array of more axes, to each item."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))[0])
        raise InputError(f"{place}: row {row} holds a number that is not finite. Correct or remove it.")


def _numbers(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Bytes as they are, all else in float32."""
    return np.ascontiguousarray(array if array.dtype == np.uint8 else array.astype(np.float32))


def _halves(source: str, training: PictureSet, test: PictureSet | None) -> Pairs:
    parts = [training] if test is None else [training, test]
    pictures = torch.cat([part.pictures for part in parts])
    half = pictures.shape[3] // 2
    if not half:
        raise InputError(f"{source}: pictures of 1 pixel have no halves.")
    left, right = pictures[..., :half].contiguous(), pictures[..., -half:].contiguous()
    names = [name for part in parts for name in part.names]
    return Pairs(left, right, names, _ids(right), None if test is None else len(training.pictures))


def _ids(items: Shaped[Tensor, "n *shape"]) -> Int[Tensor, " n"]:
    """A number for each item, the same for equal ones."""
    flat = np.ascontiguousarray(items.numpy().reshape(len(items), -1))
    rows = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1])))[:, 0]
    return torch.from_numpy(np.unique(rows, return_inverse=True)[1])
