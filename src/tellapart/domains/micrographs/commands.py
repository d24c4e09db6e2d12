"""What can be done with an encoder of patches: measure it, make vectors of micrographs, find the patches most alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tellapart.domains.given import is_source, items_of, refuse
from tellapart.domains.micrographs.clusters import PlaceClusters
from tellapart.domains.micrographs.dataset import Dataset, grid_of, names_of, side_by_side
from tellapart.domains.micrographs.micrographs import Micrograph, load_micrographs, of_arrays
from tellapart.domains.micrographs.patches import Cutter, Places, Region
from tellapart.domains.picture_files import find_pictures
from tellapart.domains.queries import lines_or_one
from tellapart.errors import InputError, exists
from tellapart.runs import Commands, Embeddings, FinishedRun, Gallery, Parts, Picture, Query, in_rows
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from tellapart.domains.micrographs.dataset import Encode
    from tellapart.domains.micrographs.options import MicrographOptions

_CHUNK = 512
_MOST_SHOWN, _SIDE = 12, 500  # pictures in a report, and their longer side in pixels
_MUST = "be a file, a folder, an array (h, w) or (h, w, 3), or a list of these"


def commands_for(make: Callable[[Any], nn.Module]) -> Commands:
    """The commands of a system with the model `make(config)`, which has a method `embed`."""
    return Commands(
        make_model=lambda config, _: make(config),
        encoder=attrgetter("embed"),
        load=Dataset.load,
        read=_read,
        ask=_ask,
        find=_find,
        draw=_draw,
    )


def as_micrographs(given: Any, options: MicrographOptions) -> list[Micrograph]:
    """Micrographs of what a program has.

    Args:
        given: a file or a folder; an array or tensor `(h, w)` or `(h, w, 3)`; or a list or column of these.
        options: the run's.

    Raises:
        InputError: none of these, or something broken, or smaller than a patch; it names the place.
    """
    if is_source(given):
        return load_micrographs(str(given), options).fields
    is_array = isinstance(given, (np.ndarray, torch.Tensor)) and given.ndim in (2, 3)
    items = [given] if is_array else items_of(given)
    if items is None:
        refuse(given, _MUST)
    fields: list[Micrograph] = []
    for row, item in enumerate(items):
        if is_source(item):
            fields += as_micrographs(item, options)
        elif isinstance(item, (np.ndarray, torch.Tensor)):
            fields += _of_array(np.asarray(item), f"row {row}" if len(items) > 1 else "0", options)
        else:
            refuse(item, _MUST)
    return fields


def embed_places(regions: list[Region], places: Places, encode: Encode, options: MicrographOptions) -> Tensor:
    """Unit vectors of upright patches at these places, read and embedded a few hundred at a time."""
    cutter, n = Cutter(regions, options), len(places.region)
    parts = [places.rows(torch.arange(start, min(start + _CHUNK, n))) for start in range(0, n, _CHUNK)]
    return torch.cat([encode(cutter.cut(cutter.windows(part), torch.zeros(len(part.region)))) for part in parts])


def _of_array(array: np.ndarray, name: str, options: MicrographOptions) -> list[Micrograph]:
    made = of_arrays([(name, array)], options.content == "grains")
    if min(array.shape[:2]) < options.patch:
        raise InputError(f"{name}: an array of shape {array.shape}, smaller than a patch of {options.patch} pixels.")
    return made


def _regions(fields: list[Micrograph], options: MicrographOptions) -> list[Region]:
    """The whole fields; pixels of arrays, which have no size of their own, are taken as they come."""
    return [
        Region(field, 0, field.pixels.shape[1], 1.0 if field.pixel_size is None else field.scale(options.pixel_size))
        for field in fields
    ]


def _read(finished: FinishedRun, encode: Encode, source: Any) -> Parts:
    """A vector for each patch of all micrographs."""
    options: MicrographOptions = finished.config
    regions = _regions(as_micrographs(source, options), options)
    places = side_by_side(regions, options.patch)
    cutter = Cutter(regions, options)
    names = names_of(cutter, places)

    def made(rows: slice) -> Embeddings:
        some = places.rows(torch.arange(rows.start, rows.stop))
        return Embeddings(names[rows], ["place"] * len(names[rows]), embed_places(regions, some, encode, options))

    def content(rows: slice) -> Iterator[bytes]:
        windows = cutter.windows(places.rows(torch.arange(rows.start, rows.stop)))
        for name, window in zip(names[rows], windows.numpy(), strict=True):
            yield name.encode("utf-8", "replace")
            yield window.tobytes()

    return in_rows(len(names), made, content, _CHUNK)


def _ask(_: FinishedRun, typed: str) -> list[Query]:
    """Each picture of a folder, or each line of a text: a file, or the name of one of the run's places."""
    if exists(typed) and Path(typed).is_dir():
        files = find_pictures(Path(typed))
        if not files:
            raise InputError(f"{typed}: the folder holds no pictures.")
        return [Query(str(file.relative_to(typed)), str(file)) for file in files]
    return lines_or_one(typed)


def cluster(finished: FinishedRun, source: Any, n: int | None) -> PlaceClusters:
    """Group the places of all micrographs of a source by their vectors: patches that overlap by half.

    Raises:
        InputError: there is nothing in `source` that can be embedded, or more groups than places.
    """
    options: MicrographOptions = finished.config
    return _grouped(_regions(as_micrographs(source, options), options), finished.model.embed, options, n)


def _grouped(regions: list[Region], encode: Encode, options: MicrographOptions, n: int | None) -> PlaceClusters:
    places = side_by_side(regions, options.patch, overlap=2)
    grids = [grid_of(region, options.patch, overlap=2) for region in regions]
    names = names_of(Cutter(regions, options), places)
    return PlaceClusters.of(regions, places.region, grids, names, embed_places(regions, places, encode, options), n)


def _draw(_: Any, data: Dataset, encode: Encode) -> list[Picture]:
    """One held-out micrograph of each label, or some if there are none, in the colours of groups of all their places.

    As many groups as labels, or as many as are found.
    """
    if data.has_labels():
        first = {data.label_of(region): region for region in reversed(data.test)}
        regions = [first[label] for label in sorted(first, key=str)][:_MOST_SHOWN]
    else:
        regions = data.test[:_MOST_SHOWN]
    groups = _grouped(regions, encode, data.options, len(regions) if data.has_labels() else None)
    captions = [f"{region.field.name}, each place in the colour of its group." for region in regions]
    return [Picture(caption, groups.as_png(which, _SIDE)) for which, caption in enumerate(captions)]


def _find(finished: FinishedRun, gallery: Gallery, query: Any) -> Float[Tensor, " d"]:
    """A micrograph is looked for, by the mean over its patches; a text may be the name of one of the run's patches."""
    if isinstance(query, str) and query in gallery.names and not exists(query):
        return gallery.vectors[gallery.names.index(query)]
    if isinstance(query, str) and not Path(query).is_file():
        raise InputError(f"{query}: neither a picture file nor the name of a patch of this run.")
    options: MicrographOptions = finished.config
    encode: Encode = finished.model.embed
    regions = _regions(as_micrographs(query, options), options)
    places = side_by_side(regions, options.patch)
    return unit(embed_places(regions, places, encode, options).mean(dim=0, keepdim=True))[0]
