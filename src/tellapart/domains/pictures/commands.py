"""What can be done with a network of pictures: measure it, make vectors of pictures, find those that are most alike."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.domains.pictures.dataset import Dataset
from tellapart.domains.pictures.given import as_pictures
from tellapart.domains.pictures.options import ImageShape
from tellapart.domains.pictures.parts import picture_parts, picture_queries
from tellapart.domains.queries import lines_or_one
from tellapart.errors import InputError, exists
from tellapart.runs import Commands, FinishedRun, Gallery, MakeModel, Measurable, Parts, Query, Run

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.domains.pictures.network import Network

_BY_PICTURES = "This run finds pictures by pictures; a run of clip finds them by words."


def commands_for(
    make_model: MakeModel,
    encoder: Callable[[Any], Any] = attrgetter("network"),
    load: Callable[[Any, Run, str | None], Measurable] = Dataset.load,
) -> Commands:
    """The commands of a system of pictures.

    Args:
        make_model: makes a run's model, which has a `Network` as `network`.
        encoder: what of the model embeds and is measured.
        load: the data of a run, or those of another source.
    """
    return Commands(
        make_model=make_model,
        encoder=encoder,
        load=load,
        read=_read,
        ask=_ask,
        find=_find,
    )


def _read(finished: FinishedRun, network: Network, source: Any) -> Parts:
    return picture_parts(source, ImageShape.noted(finished.run), network.embed)


def _ask(finished: FinishedRun, typed: str) -> list[Query]:
    """Each picture of a folder, or each line of a text: a picture file, or the name of one of the run's own."""
    if exists(typed) and Path(typed).is_dir():
        return picture_queries(Path(typed))
    queries = lines_or_one(typed)
    if exists(typed) and not any(exists(query.value) for query in queries):
        own = set(Gallery.load(finished.run.gallery).names)
        if not any(query.value in own for query in queries):
            told = f"none of its {len(queries)} lines, the first being {queries[0].value[:40]!r}, is"
            raise InputError(f"{typed}: {told} a picture file or the name of a picture of the run. {_BY_PICTURES}")
    return queries


def _find(finished: FinishedRun, gallery: Gallery, query: Any) -> Float[Tensor, " d"]:
    """A picture is looked for; a text that names no file may be the name of one of the run's own pictures."""
    if isinstance(query, str) and not exists(query):
        if query in gallery.names:
            return gallery.vectors[gallery.names.index(query)]
        raise InputError(f"{query}: neither a picture file nor the name of a picture of the run. {_BY_PICTURES}")
    found = as_pictures(query, ImageShape.noted(finished.run))
    if len(found) != 1:
        what = query if isinstance(query, str) else "query"
        raise InputError(f"{what}: holds {len(found)} pictures. Name a single one.")
    network: Network = finished.model.network
    return network.embed(found.pictures)[0]
