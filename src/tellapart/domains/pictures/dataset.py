"""The pictures of a run, for training and held out, and what is made of them: figures and a gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from tellapart.domains.pictures.held_out import load_held_out
from tellapart.domains.pictures.network import make_views
from tellapart.domains.pictures.options import ImageShape, PictureOptions
from tellapart.domains.pictures.picture_sets import PictureSet
from tellapart.domains.pictures.raw_pixels import RawPixels
from tellapart.domains.pictures.stored import pixel_ids
from tellapart.evaluation import MOST_ASKED, Table, found_by, frozen, most_known, sampled
from tellapart.relations import same
from tellapart.runs import MAX_SHOWN, Gallery, thumbnails
from tellapart.training import Batches

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.runs import InChunks, PictureRows, Run

    Encode = Callable[[InChunks], Float[Tensor, "n d"]]


class Embeds(Protocol):
    """A network, or what holds one."""

    def embed(self, pictures: InChunks) -> Float[Tensor, "n features"]:
        """Features of pictures, of length 1."""


_CHUNK = 256
_PIXELS = 2**26  # of all that a network embeds to be measured: 85,598 pictures of 28 × 28, 1,337 of 224 × 224
_LEAST = 300  # pictures, however large


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures to train on, pictures that training never sees, and where both come from."""

    options: PictureOptions
    source: str
    training: PictureSet
    test: PictureSet
    shape: ImageShape

    @classmethod
    def load(cls, options: PictureOptions, run: Run, source: str | None = None) -> Dataset:
        """A run's own data; or, from another source, data that are brought to the shape that the run's network takes.

        Raises:
            InputError: they are missing, broken or too few; or the run's own changed since it began.
        """
        if source is not None:
            return cls._of(options, source, *ImageShape.noted(run))
        data = cls._of(options, options.data, options.picture_size or None, None)
        run.check_data(f"{data.training.fingerprint()} {data.test.fingerprint()}")
        data.shape.note(run)
        return data

    @classmethod
    def _of(cls, options: PictureOptions, source: str, side: int | None, channels: int | None) -> Dataset:
        training, test = load_held_out(source, side, channels, options.held_out, options.seed, options.form)
        return cls(options, source, training, test, ImageShape.of(training))

    def batches(self) -> Batches:
        """The batches of a training."""
        return Batches(len(self.training), self.options.batch_size, self.options.epochs, self.options.seed)

    def measure(self, before: Embeds, after: Embeds) -> Table:
        """Guessing, raw pixels, the untrained and the trained network, on the pictures held out.

        With labels in both parts: how well they can be told from the features, by what the training part's labels
        teach. Without: whether a random view of a picture finds it among all.
        """
        asked, known = self.asked(self.test), self.known(self.training, after)
        labelled = _has_labels(known) and _has_labels(asked)
        raw = RawPixels.within_bounds(asked.content.shape, len(known if labelled else asked), len(asked))
        encoders: dict[str, Encode] = {"raw pixels": raw, "untrained": before.embed, "trained": after.embed}
        table = self._labels_told(encoders, known, asked) if labelled else self._views_found(encoders, asked)
        return replace(table, notes=[*table.notes, *raw.notes(), *sample_notes(asked, self.test)])

    def asked(self, held_out: PictureSet) -> PictureSet:
        """The pictures that are measured: all held-out ones, or a sample, as time allows."""
        return self._drawn(held_out, self._most_asked())

    def known(self, labelled: PictureSet, encoder: Embeds) -> PictureSet:
        """The pictures that show their labels: all of these, or a sample, as time and memory allow."""
        if labelled.labels is None:
            return labelled
        width = encoder.embed(labelled.content[:1]).shape[1]
        most = self._most() - min(len(self.test), self._most_asked())
        return self._drawn(labelled, min(most, most_known(width, len(labelled.labels.unique()))))

    def _most(self) -> int:
        """Pictures of both kinds together."""
        return max(_LEAST, _PIXELS // self.shape.side**2)

    def _most_asked(self) -> int:
        return min(MOST_ASKED, self._most() // 3)

    def _drawn(self, part: PictureSet, most: int) -> PictureSet:
        return part if len(part) <= most else part.part(sampled(len(part), most, self.options.seed))

    def has_labels(self) -> bool:
        """Whether both parts are labelled, and more than one label occurs in each."""
        return all(map(_has_labels, (self.training, self.test)))

    def gallery(self, after: Embeds) -> Gallery:
        """All pictures with their features, those for training first."""
        parts, n = (self.training, self.test), len(self.training)
        # Not the first ones: files come sorted by their labels.
        drawn = np.random.default_rng(self.options.seed).permutation(len(self.test))[:MAX_SHOWN]
        shown = torch.zeros(len(self.test), dtype=torch.bool).index_fill(0, torch.from_numpy(drawn), True)
        none: list[bytes | None] = [None] * n
        return Gallery(
            names=[name for part in parts for name in part.names],
            texts=None,
            held_out=torch.arange(n + len(self.test)) >= n,
            vectors=torch.cat([after.embed(part.content) for part in parts]),
            captions=None,
            thumbnails=none + thumbnails(self.test.content, shown),
            labels=[name for part in parts for name in part.label_names()] if self.has_labels() else None,
        )

    def _labels_told(self, encoders: dict[str, Encode], labelled: PictureSet, asked: PictureSet) -> Table:
        assert labelled.labels is not None
        assert asked.labels is not None
        models = _Encoded(encoders, labelled.content, asked.content)
        title = f"Labels of {len(asked)} held-out pictures, told from features that were learned without labels"
        table = frozen(models, labelled.labels, asked.labels, title)
        known = f"The labels of {len(labelled)} of the {len(self.training)} pictures to train on are shown to each."
        return replace(table, notes=[known, *table.notes])

    def _views_found(self, encoders: dict[str, Encode], asked: PictureSet) -> Table:
        make, pictures = make_views(self.options, self.shape), asked.content
        seen: dict[str, list[Tensor]] = {name: [] for name in encoders}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.options.seed)
            for chunk in pictures.split(_CHUNK):
                views = make(chunk, 1)[0]
                for name, encode in encoders.items():
                    seen[name].append(encode(views))
        models = {name: (torch.cat(seen[name]), encode(pictures)) for name, encode in encoders.items()}
        title = f"Retrieval of {len(pictures)} held-out pictures by a random view of each"
        return found_by(same(pixel_ids(pictures)), models, title)


@dataclass(frozen=True, eq=False)
class _Encoded(Mapping[str, "tuple[Tensor, Tensor]"]):
    """What encoders make of two sets of pictures, each when it is asked for: all at once may take much memory."""

    encoders: dict[str, Encode]
    labelled: PictureRows
    asked: PictureRows

    def __getitem__(self, name: str) -> tuple[Tensor, Tensor]:
        encode = self.encoders[name]
        return encode(self.labelled), encode(self.asked)

    def __iter__(self) -> Iterator[str]:
        return iter(self.encoders)

    def __len__(self) -> int:
        return len(self.encoders)


def sample_notes(asked: PictureSet, held_out: PictureSet) -> list[str]:
    """What to say below a table if a sample was measured."""
    if len(asked) == len(held_out):
        return []
    return [f"Measured with {len(asked)} of {len(held_out)} held-out pictures, drawn at random."]


def _has_labels(part: PictureSet) -> bool:
    return part.labels is not None and len(part.labels.unique()) > 1
