"""A mask of a video's first frame, carried to all its frames: each cell takes the labels of what is most like it.

As Jabri et al. 2020 (CRW, https://arxiv.org/abs/2006.14613, §4.1) do: a cell of a frame looks at the cells near its
place in the first frame and in the latest ones, takes the best few, and averages their labels by softmax.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, one_hot, pad

from tellapart.domains.pixels.encoder import STRIDE, FourCells
from tellapart.domains.pixels.flow import pixels
from tellapart.errors import InputError, existing
from tellapart.evaluation import Table
from tellapart.files import atomic_write

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

    from tellapart.domains.pixels.matching import Encode
    from tellapart.domains.pixels.video import Video

_LATEST, _BEST, _RADIUS = 6, 10, 12
"""Frames looked at beside the first, cells that count, and how many cells away they may be."""
_TILE = 8  # rows and columns of cells at once


@dataclass(frozen=True, eq=False)
class Propagated:
    """The labels of each frame, at the size of the mask that was given."""

    labels: UInt8[np.ndarray, "t h w"]

    def table(self) -> Table:
        """How much of the frame each label takes, at first and at last."""
        rows: list[list[str | float]] = [
            [f"{label}", *(float((self.labels[at] == label).mean()) for at in (0, -1))]
            for label in np.unique(self.labels[0])
        ]
        title = f"Labels of {len(self.labels)} frames"
        return Table(title, ["label", "share of the first frame", "of the last"], rows, ["", ".3f", ".3f"], [])

    def save(self, path: Path) -> None:
        """Write a PNG a frame into a new folder, or all labels as `labels` `(t, h, w)` of an `.npz`.

        Raises:
            InputError: another suffix, a folder that holds something, or the disk is full.
        """
        if path.suffix == ".npz":
            with atomic_write(path) as file:
                np.savez_compressed(file, labels=self.labels)
            return
        if path.suffix:
            raise InputError(f"{path}: the output must be a new folder, or end in .npz.")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{path}: exists and is not an empty folder. Choose another output.")
        for number, frame in enumerate(self.labels):
            with atomic_write(path / f"{number:05}.png") as file:
                Image.fromarray(frame).save(file, "PNG")


def read_mask(path: Path) -> UInt8[np.ndarray, "h w"]:
    """The labels of a mask: the numbers of a palette's colours, or grey levels; 0 is no object.

    Raises:
        InputError: it is missing or broken, or has colours that are no labels.
    """
    existing(str(path))
    try:
        with Image.open(path, formats=("PNG", "BMP", "TIFF", "GIF")) as image:
            if image.mode not in ("P", "L", "1"):
                what = f"{path}: labels must be a grey picture or one with a palette"
                raise InputError(f"{what}. Got mode {image.mode}.")
            labels = np.asarray(image.convert("L") if image.mode == "1" else image)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: no mask that can be read ({str(error).rstrip('.')}). Give a PNG.") from error
    return np.asarray(labels, dtype=np.uint8)


def propagate(encode: Encode, video: Video, mask: UInt8[np.ndarray, "h w"], temperature: float) -> Propagated:
    """The labels of all frames of a video, from those of the first.

    Args:
        encode: makes maps of frames.
        video: the frames.
        mask: a label for each pixel of the first frame, at any size of the same proportions.
        temperature: by what cosines are divided.

    Raises:
        InputError: a mask of other proportions, or without an object.
    """
    height, width = video.frames.shape[1:3]
    if abs(mask.shape[0] * width / (mask.shape[1] * height) - 1) > 0.02:
        found = f"{mask.shape[1]}×{mask.shape[0]}"
        raise InputError(f"mask: {found} pixels, of other proportions than the frames, {width}×{height}.")
    known = np.unique(mask)
    if len(known) < 2:
        raise InputError(f"mask: all of it has the label {known[0]}. Give a mask with an object and what is none.")
    # The places of the mask's pixels in the frame.
    places = (pixels(*mask.shape) + 0.5) * np.array([width / mask.shape[1], height / mask.shape[0]]) - 0.5
    cells = encode(video.frames[:1])[0]
    rows, cols = cells.shape[1:]
    at_pixels = FourCells.of(torch.from_numpy(places.reshape(-1, 2)).float(), rows, cols)
    soft = _of_cells(np.searchsorted(known, mask), places, (height, width), len(known))
    first, latest = (cells, soft), deque([(cells, soft)], maxlen=_LATEST)
    made = [mask]
    for frame in video.frames[1:]:
        cells = encode(frame[None])[0]
        soft = labels_of_alike(cells, [first, *latest], temperature)
        latest.append((cells, soft))
        made.append(known[at_pixels.read(soft).argmax(dim=1).numpy()].reshape(mask.shape))
    return Propagated(np.stack(made).astype(np.uint8))


def labels_of_alike(
    cells: Float[Tensor, "d rows cols"],
    context: list[tuple[Float[Tensor, "d rows cols"], Float[Tensor, "cells labels"]]],
    temperature: float,
) -> Float[Tensor, "cells labels"]:
    """How much of each label the cells of a frame have, from maps and labels of others.

    >>> still = torch.eye(4).view(4, 2, 2)
    >>> labels_of_alike(still, [(still, torch.eye(2)[[0, 1, 1, 0]])], 0.01).argmax(dim=1).tolist()
    [0, 1, 1, 0]
    """
    rows, cols = cells.shape[1:]
    place, made = torch.from_numpy(pixels(rows, cols)), cells.new_empty(rows, cols, context[0][1].shape[1])
    for top, left in itertools.product(range(0, rows, _TILE), range(0, cols, _TILE)):
        tile = slice(top, top + _TILE), slice(left, left + _TILE)
        near = (
            slice(max(0, top - _RADIUS), top + _TILE + _RADIUS),
            slice(max(0, left - _RADIUS), left + _TILE + _RADIUS),
        )
        queries = cells[:, *tile].flatten(1).T
        keys = torch.cat([others[:, *near].flatten(1) for others, _ in context], dim=1)
        labels = torch.cat([known.view(rows, cols, -1)[near].flatten(0, 1) for _, known in context])
        far = torch.cdist(place[tile].flatten(0, 1), place[near].flatten(0, 1)) > _RADIUS
        scores = (queries @ keys).masked_fill_(far.repeat(1, len(context)), -torch.inf)
        best = scores.topk(min(_BEST, scores.shape[1]), dim=1)
        share = (best.values / temperature).softmax(dim=1)
        made[tile] = (share[..., None] * labels[best.indices]).sum(dim=1).view(made[tile].shape)
    return made.flatten(0, 1)


def _of_cells(
    numbers: Int[np.ndarray, "h w"], places: Float[np.ndarray, "h w 2"], size: tuple[int, int], n: int
) -> Float[Tensor, "cells labels"]:
    """The share of each label in the pixels of each cell."""
    height, width = size
    # The label of each pixel of the frame: of the mask's pixel that is nearest to it.
    row = np.abs(places[:, 0, 1][:, None] - np.arange(height)).argmin(0)
    col = np.abs(places[0, :, 0][:, None] - np.arange(width)).argmin(0)
    whole = one_hot(torch.from_numpy(numbers[row][:, col]).long(), n).permute(2, 0, 1)[None].float()
    # A cell is centred at its first pixel: half of it lies before.
    half = STRIDE // 2
    more = [-side % STRIDE + half for side in (width, height)]
    shares = avg_pool2d(pad(whole, (half, more[0], half, more[1]), mode="replicate"), STRIDE)
    rows, cols = -(-height // STRIDE), -(-width // STRIDE)
    return shares[0, :, :rows, :cols].flatten(1).T
