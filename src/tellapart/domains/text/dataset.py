"""The sentences of a run, for training and held out, and what is made of them: figures and a gallery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains import tables
from tellapart.domains.sniff import suffix
from tellapart.domains.text.load import load_sentences, load_translations
from tellapart.domains.text.pools import in_pools
from tellapart.domains.text.tfidf import character_tfidf
from tellapart.domains.text.translations import Translations, fingerprint_of
from tellapart.domains.text.wordpieces import WordPieces
from tellapart.domains.texts import are_stored, chosen, hashes, together
from tellapart.errors import InputError
from tellapart.evaluation import MOST_ASKED, Table, sampled
from tellapart.runs import Gallery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tellapart.domains.text.encoder import Embed
    from tellapart.domains.text.options import SentenceOptions
    from tellapart.runs import Run


_MOST_SHOWN = 50_000  # pairs of a store, for training and held out each, that a gallery has


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pairs to train on, pairs that training never sees, and sentences without their translations."""

    training: Translations
    held_out: Translations
    unaligned: Sequence[str]
    left_out: int = 0
    """Pairs of the data that were not taken, because one side is empty or missing."""
    source: str | None = None
    """Where other data than a run's own are from."""

    @classmethod
    def load(cls, options: SentenceOptions, run: Run, source: str | None = None) -> Dataset:
        """A run's own data, but for the unaligned text that its options name: training alone needs that.

        From another source, all pairs are held out.

        Raises:
            InputError: they are missing, broken or too few; or the run's own changed since it began.
        """
        if source is not None:
            return cls._of_others(source, options)
        whole = load_translations(options.data, options.languages, options.columns)
        unaligned: Sequence[str] = []
        run.check_data(whole.fingerprint())
        rows, held_out = whole.split(options.held_out, options.seed)
        if 0 < options.pairs < len(rows):
            rows = rows[torch.from_numpy(np.random.default_rng(options.seed).permutation(len(rows)))]
            rows, rest = rows[: options.pairs], whole.rows(rows[options.pairs :])
            unaligned = together(rest.sources, rest.targets)
        return cls(whole.rows(rows), whole.rows(held_out), unaligned, whole.left_out)

    @classmethod
    def _of_others(cls, source: str, options: SentenceOptions) -> Dataset:
        pairs = load_others(source, options)
        if len(pairs) < 2:
            raise InputError(f"{source}: a single pair of sentences. At least 2 are needed, to tell them apart.")
        return cls(pairs.rows(torch.arange(0)), pairs, [], pairs.left_out, source)

    def with_unaligned(self, options: SentenceOptions, run: Run) -> Dataset:
        """The same, with the unaligned text that the options name, but for sentences of the held-out pairs.

        Raises:
            InputError: it is missing, or changed since the run began.
        """
        if not options.unaligned:
            return self
        texts = load_sentences(options.unaligned)
        run.check_data(fingerprint_of(texts), "unaligned text")
        held_out = np.concatenate([hashes(side) for side in (self.held_out.sources, self.held_out.targets)])
        rows = torch.from_numpy(np.flatnonzero(~np.isin(hashes(texts), held_out)))
        return replace(self, unaligned=together(chosen(texts, rows), self.unaligned))

    def to_read(self, *, unaligned: bool) -> Sequence[str]:
        """The sentences that training sees; the unaligned ones, too, if it is to."""
        return together(self.training.sources, self.training.targets, self.unaligned if unaligned else [])

    def tokeniser(self, options: SentenceOptions, run: Run, *, unaligned: bool) -> str:
        """The tokeniser of a run, as JSON, which its folder keeps; "" if the encoder has none."""
        if options.encoder == "bag":
            return ""
        if run.tokeniser.is_file():
            return run.read_tokeniser()
        known = WordPieces.file_of(options.pretrained) if options.pretrained else ""
        definition = known or WordPieces.learn(self.to_read(unaligned=unaligned), options.vocabulary)
        run.save_tokeniser(definition)
        return definition

    def gallery(self, after: Embed) -> Gallery:
        """All pairs, the targets with the sources as their texts; of a store, so many as fit into memory."""
        parts = [_bounded(part, _MOST_SHOWN) for part in (self.training, self.held_out)]
        sources, targets = ([text for part in parts for text in getattr(part, side)] for side in ("sources", "targets"))
        is_out = torch.arange(len(sources)) >= len(parts[0])
        return Gallery(targets, sources, is_out, after(targets), after(sources), None, kind="translation")

    def measure(self, before: Embed, after: Embed) -> Table:
        """Recall among the held-out pairs."""
        asked = _bounded(self.held_out, MOST_ASKED)
        n, known = len(asked), len(self.training)
        title = f"R@1 among {n} held-out pairs, after training on {known} others"
        if self.source is not None:
            title = f"R@1 among {n} pairs of {self.source}"
        table = recall(asked, before, after, title)
        return replace(table, notes=[*table.notes, *_on_what_was_left_out(self.left_out), *self._on_bounds(n)])

    def _on_bounds(self, n_asked: int) -> list[str]:
        """What of pairs in a store is neither measured nor found."""
        notes = []
        if n_asked < len(self.held_out):
            notes.append(f"Measured with {n_asked} of {len(self.held_out)} held-out pairs, drawn at random.")
        parts = self.training, self.held_out
        shown = sum(len(_bounded(part, _MOST_SHOWN)) for part in parts)
        if shown < sum(map(len, parts)):
            notes.append(f"Search looks through {shown} of {sum(map(len, parts))} pairs, drawn at random.")
        return notes


def load_others(source: str, options: SentenceOptions) -> Translations:
    """Pairs of another source than a run's own; what its options say of columns holds for tables alone.

    Raises:
        InputError: they are missing or broken.
    """
    columns = options.columns if suffix(Path(source)) in tables.SUFFIXES else ""
    return load_translations(source, options.languages, columns)


def recall(pairs: Translations, before: Embed, after: Embed, title: str) -> Table:
    """Guessing, character n-grams, the untrained and the trained encoder, in pools and among all, both ways."""
    models = {"TF-IDF of characters": character_tfidf(pairs.sources, pairs.targets)}
    for name, embed in (("untrained", before), ("trained", after)):
        models[name] = embed(pairs.sources), embed(pairs.targets)
    return in_pools(pairs.languages, pairs.ids(), models, title)


def _bounded(pairs: Translations, most: int) -> Translations:
    """All pairs or, of a store, no more than so many, drawn at random."""
    if len(pairs) <= most or not are_stored(pairs.sources):
        return pairs
    return pairs.rows(sampled(len(pairs), most, seed=0))


def _on_what_was_left_out(n: int) -> list[str]:
    return [f"{n} pairs of the data are left out: one side is empty or missing."] if n else []
