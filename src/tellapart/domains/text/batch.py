"""What a step of the training sees: pairs of sentences, and further ones with masked tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from tellapart.domains.text.unread import sentences_of

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

    from tellapart.domains.text.encoder import TextEncoder
    from tellapart.domains.text.ragged import Ragged
    from tellapart.domains.text.translations import Translations
    from tellapart.domains.text.unread import Sentences


@dataclass(frozen=True, eq=False)
class Batch:
    """Sentences as an encoder reads them, their translations, and what each says, as a number."""

    sources: Ragged
    targets: Ragged
    source_ids: Int[Tensor, " n"]
    target_ids: Int[Tensor, " n"]
    unaligned: Ragged | None = None
    """Sentences of either language, to be learned from without their translations."""

    @classmethod
    def of(cls, encoder: TextEncoder, pairs: Translations) -> Batch:
        """All of some pairs."""
        return ReadPairs.of(encoder, pairs).rows(torch.arange(len(pairs)))

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        unaligned = None if self.unaligned is None else self.unaligned.to(device)
        ids = self.source_ids.to(device), self.target_ids.to(device)
        return Batch(self.sources.to(device), self.targets.to(device), *ids, unaligned)


@dataclass(frozen=True, eq=False)
class ReadPairs:
    """Pairs of sentences as an encoder reads them, from which batches are taken."""

    sources: Sentences
    targets: Sentences
    source_ids: Int[Tensor, " n"]
    target_ids: Int[Tensor, " n"]

    @classmethod
    def of(cls, encoder: TextEncoder, pairs: Translations) -> ReadPairs:
        """All pairs; those in a store are read when it is their turn."""
        sides = sentences_of(encoder.read, pairs.sources), sentences_of(encoder.read, pairs.targets)
        return cls(*sides, *pairs.ids())

    def rows(self, index: Int[Tensor, " k"]) -> Batch:
        """The pairs at these rows, in this order."""
        sides = self.sources.rows(index), self.targets.rows(index)
        return Batch(*sides, self.source_ids[index], self.target_ids[index])

    def lengths(self) -> Int[Tensor, " n"]:
        """Tokens of each pair."""
        return self.sources.lengths + self.targets.lengths


class Reading:
    """Sentences to be read without their translations, some of similar lengths at a time.

    Args:
        sentences: as the encoder reads them.
        at_once: how many.
    """

    def __init__(self, sentences: Sentences, at_once: int) -> None:
        self.sentences, self.order = sentences, sentences.lengths.argsort(stable=True)
        self.at_once = min(at_once, len(sentences))

    def draw(self) -> Ragged:
        """The next ones in the order of lengths from a random place on: all as likely, but for a few at both ends."""
        start = int(torch.randint(len(self.sentences) - self.at_once + 1, ()))
        return self.sentences.rows(self.order[start : start + self.at_once])

    def beside(self, batch: Batch) -> Batch:
        """The batch, with sentences to read."""
        return replace(batch, unaligned=self.draw().to(batch.source_ids.device))
