"""What can be done with encoders of pictures and texts: measure them, embed either, find pictures by either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart import reading
from tellapart.domains.given import as_texts, is_source, items_of, refuse_text
from tellapart.domains.picture_files import SUFFIXES, find_pictures, is_picture
from tellapart.domains.pictures.given import as_pictures
from tellapart.domains.pictures.load import list_items, load_items
from tellapart.domains.pictures.options import ImageShape
from tellapart.domains.pictures.pair_dataset import PairDataset, PairEncoder
from tellapart.domains.pictures.parts import parts_of_files, parts_of_pictures, picture_parts, picture_queries
from tellapart.domains.queries import lines_or_one, refuse_file
from tellapart.errors import InputError, exists
from tellapart.runs import Commands, FinishedRun, Gallery, Parts, Query, in_texts, joined

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

_CHANNELS = 3


def commands_for_pairs(make: Callable[[Any], nn.Module]) -> Commands:
    """The commands of a system with the model `make(config)`, a `PairEncoder`."""
    return Commands(
        make_model=lambda config, _: make(config),
        encoder=lambda model: model,
        load=PairDataset.load,
        read=_read,
        ask=_ask,
        find=_find,
    )


def _read(finished: FinishedRun, encoder: PairEncoder, source: Any) -> Parts:
    """Pictures and then texts.

    A source is a file or folder, as for `load_items`; pictures, as for `as_pictures`; or a list, a tuple or a column of
    texts. Texts in a list that all end like names of picture files are such files.
    """
    shape = ImageShape(finished.config.picture_size, _CHANNELS)
    if str(source) == "openmoji":
        items = load_items(str(source), shape.side)
        assert items.pictures is not None
        shown = parts_of_pictures(items.pictures, items.names, encoder.embed_pictures)
        return _both(items.names, shown, items.texts, encoder)
    if is_source(source):
        refuse_text(str(source))
        found = list_items(str(source), finished.config.form)
        pictures = parts_of_files(found.files, found.places, found.names, shape, encoder.embed_pictures)
        return _both(found.names, pictures, found.texts, encoder)
    given = items_of(source)
    if given is not None and any(isinstance(item, str) and not _names_a_picture(item) for item in given):
        return _both([], iter(()), as_texts(given, "text"), encoder)
    return picture_parts(source, shape, encoder.embed_pictures)


def _both(names: Sequence[str], pictures: Parts, texts: Sequence[str], encoder: PairEncoder) -> Parts:
    return joined((len(names), pictures), (len(texts), in_texts(texts, "text", encoder.embed_texts)))


def _ask(finished: FinishedRun, typed: str) -> list[Query]:
    """Each text of a file, each picture of a folder, or what is typed itself.

    Raises:
        InputError: a word that is also the name of a folder of pictures.
    """
    if exists(typed) and Path(typed).is_dir():
        if "/" in typed or "\\" in typed:
            return picture_queries(Path(typed))
        with reading.accounted():  # of its own, for nothing is read yet
            if not find_pictures(Path(typed)):
                return [Query(typed, typed)]
        what = "there is a folder of pictures of this name"
        raise InputError(f"query: {what}. Write ./{typed} for its pictures, or {typed!r} with a space for the text.")
    return lines_or_one(typed, finished.config.form)


def _find(finished: FinishedRun, gallery: Gallery, query: Any) -> Float[Tensor, " d"]:
    """Words are looked for as they are; anything else must be a single picture.

    A text is the name of a picture if it ends like one: of a file, or of one of the run's own.
    """
    encoder: PairEncoder = finished.model
    if isinstance(query, str) and not _is_picture(query):
        refuse_file(query)
        return encoder.embed_texts([query])[0]
    if isinstance(query, str) and not exists(query) and query in gallery.names:
        return gallery.vectors[gallery.names.index(query)]
    found = as_pictures(query, ImageShape(finished.config.picture_size, _CHANNELS))
    if len(found) != 1:
        raise InputError("query: must be words, or a single picture.")
    return encoder.embed_pictures(found.pictures)[0]


def _is_picture(text: str) -> bool:
    """Whether a text is the name of a picture: of a file that is one, or of one that there should be."""
    if exists(text) and Path(text).is_file():
        return is_picture(Path(text))
    return _names_a_picture(text) and " " not in text


def _names_a_picture(text: str) -> bool:
    return Path(text).suffix.lower() in SUFFIXES
