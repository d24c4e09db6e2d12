"""What is held out of micrographs: whole specimens, or the right part of every field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tellapart.domains.micrographs.patches import Region
from tellapart.errors import InputError

if TYPE_CHECKING:
    from tellapart.domains.micrographs.micrographs import Micrograph
    from tellapart.domains.micrographs.options import MicrographOptions

_REMEDY = "Give more micrographs, or hold out a part of each: --held_out_by region"


def split_regions(fields: list[Micrograph], options: MicrographOptions) -> tuple[list[Region], list[Region]]:
    """Regions for training and regions held out.

    By specimen: for each label, specimens are drawn until the share is reached, at least one; a label with a single
    one is not held out. Without labels at least two are drawn, and two stay. By region: the right part of each field.

    Raises:
        InputError: too few specimens, or a field that is too narrow for a patch on both sides.
    """
    whole = [Region(field, 0, field.pixels.shape[1], field.scale(options.pixel_size)) for field in fields]
    if options.held_out_by == "region":
        return _halves(whole, options)
    out: set[str] = set()
    labels = sorted({field.label for field in fields}, key=str)
    for number, label in enumerate(labels):
        names = sorted({field.specimen for field in fields if field.label == label})
        least = 2 if label is None else 1
        order = np.random.default_rng([options.seed, number]).permutation(len(names))
        n_out = max(least, round(options.held_out * len(names)))
        out |= {names[i] for i in order[: max(0, min(n_out, len(names) - least))]}
    training, test = ([region for region in whole if (region.field.specimen in out) == held] for held in (False, True))
    if min(len({region.field.specimen for region in part}) for part in (training, test)) < 2:
        n = len({field.specimen for field in fields})
        what = "specimen" if n == 1 else "specimens"
        raise InputError(f"data: {n} {what}, too few to train on two and to hold two out. {_REMEDY}.")
    return training, test


def _halves(whole: list[Region], options: MicrographOptions) -> tuple[list[Region], list[Region]]:
    training, test = [], []
    for region in whole:
        cut = round(region.right * (1 - options.held_out))
        training.append(Region(region.field, 0, cut, region.scale))
        test.append(Region(region.field, cut, region.right, region.scale))
        if min(training[-1].width, test[-1].width) < options.patch:
            what = f"{region.width:.0f} pixels wide, too narrow for a patch of {options.patch} on both sides"
            raise InputError(f"{region.field.name}: {what} of a cut at {options.held_out:g}. Choose a smaller patch.")
    if len({region.field.specimen for region in whole}) < 2:
        raise InputError("data: a single specimen; a patch is told from those of others. Give at least two.")
    return training, test
