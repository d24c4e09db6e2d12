"""Pictures held out from training: the source's own test set, or a random share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tellapart.domains.held_out import divide
from tellapart.domains.pictures.picture_sets import AS_IT_LIES, Form, PictureSet, load_splits
from tellapart.domains.pictures.stored import pixel_ids
from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor


def load_held_out(
    source: str, size: int | None, channels: int | None, share: float, seed: int, form: Form = AS_IT_LIES
) -> tuple[PictureSet, PictureSet]:
    """Pictures to train on and pictures held out.

    Args:
        source: as for `load_splits`.
        size: the pictures' side, in pixels; `None` keeps their size.
        channels: 1 or 3; `None` keeps the pictures' own.
        share: the share of pictures to hold out, if the source has no test set.
        seed: for the random share.
        form: how folders and tables are read.

    Raises:
        InputError: as for `load_splits`; fewer than 2 pictures to train on or to hold out.
    """
    training, test = load_splits(source, size, channels, form)
    if test is None:
        rows, held_out = split_pictures(training, share, seed)
        return training.part(rows), training.part(held_out)
    for part, what in ((training, "train on"), (test, "hold out")):
        if len(part) < 2:
            raise InputError(f"{source}: {len(part)} picture to {what}. At least 2 are needed.")
    return training, test


def split_pictures(pictures: PictureSet, share: float, seed: int) -> tuple[Int[Tensor, " a"], Int[Tensor, " b"]]:
    """Rows for training and rows held out, such that no picture is in both parts.

    Pictures with identical pixels stay together.

    Raises:
        InputError: fewer than 4 different pictures: 2 to train on and 2 to hold out.

    >>> import torch
    >>> made = torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1)
    >>> train, test = split_pictures(PictureSet(made, None, None, list("abcdefghij")), 0.2, seed=0)
    >>> len(train), len(test)
    (8, 2)
    """
    _, group = np.unique(np.array(pixel_ids(pictures.content)), return_inverse=True)
    sizes = np.bincount(group)
    if len(sizes) < 4:
        raise InputError(
            f"data: too few pictures, {len(pictures)}, and different ones, {len(sizes)}. "
            "At least 4 are needed: 2 to train on and 2 to hold out."
        )
    return divide(group, share, seed)
