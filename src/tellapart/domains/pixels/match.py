"""Dense correspondence: where each pixel of one picture is in another, how sure that is, and files of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tellapart.domains.pixels.encoder import STRIDE
from tellapart.domains.pixels.flow import pixels
from tellapart.domains.pixels.given import as_frame
from tellapart.domains.pixels.matching import Encode, find, read
from tellapart.domains.pixels.needed import needed
from tellapart.domains.pixels.pictures import as_png, draw_matches
from tellapart.domains.pixels.video import shrunk
from tellapart.errors import InputError
from tellapart.evaluation import Table
from tellapart.files import atomic_write

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor

SUFFIXES = (".flo", ".npz", ".png")
_FLO = np.float32(202021.25)  # the mark of Middlebury's format
_NEAR = 2.0  # cells


@dataclass(frozen=True, eq=False)
class Matches:
    """Where each pixel of picture a is in picture b, in pixels of the pictures as they were given."""

    a: UInt8[np.ndarray, "h w 3"]
    b: UInt8[np.ndarray, "h2 w2 3"]
    flow: Float[np.ndarray, "h w 2"]
    """Pixel (x, y) of a is at (x, y) + flow in b."""
    confidence: Float[np.ndarray, "h w"]
    """In [0, 1]: see `match`."""

    def table(self) -> Table:
        """How much was matched, and how far it moved."""
        sure = self.confidence >= 0.5
        moves = np.linalg.norm(self.flow, axis=-1)
        rows: list[list[str | float]] = [
            [name, float(part.mean()), float(np.median(moves[part])) if part.any() else "–"]
            for name, part in (("all", np.ones_like(sure)), ("confidence ≥ 0.5", sure))
        ]
        header = ["pixels of the first picture", "share", "median move"]
        note = "Confidence: how surely a pixel is found, and found again on the way back. Moves are in pixels."
        return Table("Where the first picture is in the second", header, rows, ["", ".3f", ".1f"], [note])

    def save(self, path: Path) -> None:
        """Write flow as Middlebury's `.flo`; flow and confidence as `.npz`; or a picture of the surest matches, `.png`.

        Raises:
            InputError: another suffix, or the file cannot be written.
        """
        if path.suffix not in SUFFIXES:
            raise InputError(f"{path}: the output must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
        with atomic_write(path) as file:
            if path.suffix == ".flo":
                height, width = self.flow.shape[:2]
                file.write(_FLO.tobytes() + np.array([width, height], "<i4").tobytes())
                file.write(self.flow.astype("<f4").tobytes())
            elif path.suffix == ".npz":
                np.savez(file, flow=self.flow, confidence=self.confidence)
            else:
                file.write(as_png(draw_matches(self.a, self.b, self.flow, self.confidence)))


def match(encode: Encode, given_a: Any, given_b: Any, height: int, temperature: float) -> Matches:
    """Where each pixel of one picture is in another.

    Confidence is p · exp(−d²/2s²), with s two cells: p is the probability of the cells within two of the best, among
    all cells of b at the temperature of training; and d is how far from a pixel the way to b and back ends.

    Args:
        encode: makes maps of frames.
        given_a: a picture file, a frame of a video as VIDEO:FRAME, or a uint8 array `(h, w, 3)`.
        given_b: another.
        height: pictures that are higher are scaled down to this height to be compared.
        temperature: by what cosines are divided.

    Raises:
        InputError: something that is no picture, or broken.
    """
    a, b = as_frame(given_a), as_frame(given_b)
    small_a, small_b = shrunk(a, height), shrunk(b, height)
    (map_a,), (map_b,) = encode(small_a[None]), encode(small_b[None])
    grid = pixels(*small_a.shape[:2])
    asked = read(map_a, grid.reshape(-1, 2))
    there = find(asked, map_b).places
    back = find(read(map_b, there), map_a).places
    apart = np.linalg.norm(back - grid.reshape(-1, 2), axis=1)
    share = probability_near(asked, map_b, there, temperature)
    confidence = share * np.exp(-((apart / (_NEAR * STRIDE)) ** 2) / 2)
    # From pixels of the small pictures to those of the given ones.
    ratio = np.array([b.shape[1] / small_b.shape[1], b.shape[0] / small_b.shape[0]], np.float32)
    ends = _grown((there.reshape(grid.shape) + 0.5) * ratio - 0.5, a)
    sure = _grown(confidence.reshape(*grid.shape[:2], 1).astype(np.float32), a).clip(0, 1)
    return Matches(a, b, ends - pixels(*a.shape[:2]), sure.reshape(a.shape[:2]))


def probability_near(
    queries: Float[Tensor, "n d"], encoded: Float[Tensor, "d rows cols"], places: np.ndarray, temperature: float
) -> Float[np.ndarray, " n"]:
    """How probable the cells near places are, of all cells of a map.

    >>> probability_near(torch.eye(4)[:1], torch.eye(4).view(4, 2, 2), np.zeros((1, 2)), 0.05).round(3).tolist()
    [1.0]
    """
    rows, cols = encoded.shape[1:]
    cell = torch.from_numpy(pixels(rows, cols).reshape(-1, 2))
    found = []
    for part, place in zip(queries.split(4096), torch.from_numpy(places / STRIDE).float().split(4096), strict=True):
        near = (place[:, None] - cell).abs().amax(dim=2) <= _NEAR
        found.append(((part @ encoded.flatten(1) / temperature).softmax(dim=1) * near).sum(dim=1))
    return torch.cat(found).numpy()


def _grown(field: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """A field at the size of the picture."""
    cv2 = needed("cv2")
    if field.shape[:2] == picture.shape[:2]:
        return field
    made: np.ndarray = cv2.resize(field, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return made
