"""Pictures with their texts, for training and held out, and what can be done with encoders of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from tellapart.domains.given import as_texts, is_source, items_of
from tellapart.domains.picture_files import SUFFIXES
from tellapart.domains.pictures.captions import Pairs, split
from tellapart.domains.pictures.given import as_pictures
from tellapart.domains.pictures.load import Items, load_items, load_pairs
from tellapart.domains.pictures.options import ImageShape, PairOptions
from tellapart.domains.tables import AS_IT_LIES, Form
from tellapart.errors import InputError
from tellapart.evaluation import Table, both_ways
from tellapart.runs import Commands, Embeddings, FinishedRun, Gallery, thumbnails
from tellapart.training import Batches

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor, nn

    from tellapart.runs import Run

_CHANNELS = 3


class PairEncoder(Protocol):
    """What embeds pictures and texts in one space."""

    def embed_pictures(self, pictures: UInt8[Tensor, "n 3 size size"]) -> Float[Tensor, "n d"]: ...
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]: ...


@dataclass(frozen=True, eq=False)
class PairDataset:
    """Pairs, and which of their rows are to train on and which training never sees."""

    options: PairOptions
    pairs: Pairs
    rows: Int[Tensor, " t"]
    held_out: Int[Tensor, " h"]
    title: str
    """What is measured, as a heading."""

    @classmethod
    def load(cls, options: PairOptions, run: Run, source: str | None = None) -> PairDataset:
        """A run's own pairs; or, from another source, pairs that are all held out.

        Raises:
            InputError: they are missing, broken or too few; or the run's own changed since it began.
        """
        pairs = load_pairs(source or options.data, options.picture_size, options.form)
        if source is not None:
            title = f"Retrieval among {len(pairs)} pairs of {source}"
            return cls(options, pairs, torch.arange(0), torch.arange(len(pairs)), title)
        run.check_data(pairs.fingerprint())
        rows, held_out = split(pairs, options.held_out, options.seed)
        title = f"Retrieval among {len(held_out)} held-out pairs, after training on {len(rows)} others"
        return cls(options, pairs, rows, held_out, title)

    def batches(self) -> Batches:
        """The batches of a training."""
        return Batches(len(self.rows), self.options.batch_size, self.options.epochs, self.options.seed)

    def training(self, index: Int[Tensor, " n"]) -> Pairs:
        """Some of the pairs to train on, by their row among these."""
        return self.pairs.rows(self.rows[index])

    def measure(self, before: PairEncoder, after: PairEncoder) -> Table:
        """Guessing, the untrained and the trained model, side by side; in both directions."""
        asked = self.pairs.rows(self.held_out)
        embedded = {
            name: (encoder.embed_pictures(asked.pictures), encoder.embed_texts(asked.texts))
            for name, encoder in (("untrained", before), ("trained", after))
        }
        return both_ways(("picture", "text"), asked.matches(), embedded, self.title)

    def gallery(self, after: PairEncoder) -> Gallery:
        """All pairs with the embeddings of both sides."""
        pairs = self.pairs
        is_out = torch.zeros(len(pairs), dtype=torch.bool).index_fill(0, self.held_out, True)
        vectors = after.embed_pictures(pairs.pictures), after.embed_texts(pairs.texts)
        return Gallery(pairs.names, pairs.texts, is_out, *vectors, thumbnails(pairs.pictures, is_out))


def commands_for_pairs(make: Callable[[Any], nn.Module]) -> Commands:
    """The commands of a system with the model `make(config)`, a `PairEncoder`."""
    return Commands(
        make_model=lambda config, _: make(config),
        encoder=lambda model: model,
        load=PairDataset.load,
        read=_read,
        find=_find,
    )


def as_items(given: Any, size: int, form: Form = AS_IT_LIES) -> Items:
    """Pictures, texts, or both.

    Args:
        given: a file or folder, as for `load_items`; pictures, as for `as_pictures`; or a list, a tuple or a column of
            texts. Texts in a list that all end like names of picture files are such files.
        size: the pictures' side, in pixels.
        form: how a table is read.

    Raises:
        InputError: none of these, or something broken or missing; it names the place.
    """
    if is_source(given):
        return load_items(str(given), size, form)
    items = items_of(given)
    if items is not None and any(isinstance(item, str) and not _is_picture_file(item) for item in items):
        return Items(None, [], as_texts(items, "text"))
    pictures = as_pictures(given, ImageShape(size, _CHANNELS))
    return Items(pictures.pictures, pictures.names, [])


def _is_picture_file(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _read(finished: FinishedRun, encoder: PairEncoder, source: Any) -> Embeddings:
    items = as_items(source, finished.config.picture_size, finished.config.form)
    parts = [] if items.pictures is None else [encoder.embed_pictures(items.pictures)]
    parts += [encoder.embed_texts(items.texts)] if items.texts else []
    kinds = ["picture"] * len(items.names) + ["text"] * len(items.texts)
    return Embeddings(items.names + items.texts, kinds, torch.cat(parts))


def _find(finished: FinishedRun, _: Gallery, query: Any) -> Float[Tensor, " d"]:
    """Words are looked for as they are; the name of a picture file, or anything else, must be a single picture."""
    encoder: PairEncoder = finished.model
    if isinstance(query, str) and not _is_picture_file(query):
        return encoder.embed_texts([query])[0]
    items = as_items(query, finished.config.picture_size)
    if items.pictures is None or len(items.names) != 1:
        raise InputError("query: must be words, or a single picture.")
    return encoder.embed_pictures(items.pictures)[0]
