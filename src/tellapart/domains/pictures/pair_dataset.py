"""Pictures with their texts, for training and held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from tellapart.domains.pictures.captions import Pairs, split
from tellapart.domains.pictures.jitter import Kind, kind_of
from tellapart.domains.pictures.load import load_pairs
from tellapart.domains.pictures.options import PairOptions
from tellapart.evaluation import Table, both_ways
from tellapart.runs import Gallery, thumbnails
from tellapart.training import Batches

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.runs import PictureRows, Run


class PairEncoder(Protocol):
    """What embeds pictures and texts in one space."""

    def embed_pictures(self, pictures: PictureRows) -> Float[Tensor, "n d"]: ...
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
    kind: Kind = "drawing"
    """What the pictures to train on are taken for."""

    @classmethod
    def load(cls, options: PairOptions, run: Run, source: str | None = None) -> PairDataset:
        """A run's own pairs; or, from another source, pairs that are all held out.

        Raises:
            InputError: they are missing, broken or too few; or the run's own changed since it began.
        """
        pairs = load_pairs(source or options.data, options.picture_size, options.form, tells_size=source is None)
        if source is not None:
            title = f"Retrieval among {len(pairs)} pairs of {source}"
            return cls(options, pairs, torch.arange(0), torch.arange(len(pairs)), title)
        kind = kind_of(pairs.content, options.picture_kind)
        run.check_data(pairs.fingerprint())
        rows, held_out = split(pairs, options.held_out, options.seed)
        title = f"Retrieval among {len(held_out)} held-out pairs, after training on {len(rows)} others"
        return cls(options, pairs, rows, held_out, title, kind)

    def batches(self) -> Batches:
        """The batches of a training."""
        return Batches(len(self.rows), self.options.batch_size, self.options.epochs, self.options.seed)

    def training(self, index: Int[Tensor, " n"]) -> Pairs:
        """Some of the pairs to train on, by their row among these."""
        return self.pairs.rows(self.rows[index])

    def unseen(self, index: Int[Tensor, " n"]) -> Pairs:
        """Some of the pairs held out, by their row among these."""
        return self.pairs.rows(self.held_out[index])

    def measure(self, before: PairEncoder, after: PairEncoder) -> Table:
        """Guessing, the untrained and the trained model, side by side; in both directions."""
        asked = self.pairs.part(self.held_out)
        embedded = {
            name: (encoder.embed_pictures(asked.content), encoder.embed_texts(asked.texts))
            for name, encoder in (("untrained", before), ("trained", after))
        }
        return both_ways(("picture", "text"), asked.matches(), embedded, self.title)

    def gallery(self, after: PairEncoder) -> Gallery:
        """All pairs with the embeddings of both sides."""
        pairs = self.pairs
        is_out = torch.zeros(len(pairs), dtype=torch.bool).index_fill(0, self.held_out, True)
        vectors = after.embed_pictures(pairs.content), after.embed_texts(pairs.texts)
        return Gallery(list(pairs.names), list(pairs.texts), is_out, *vectors, thumbnails(pairs.content, is_out))
