"""The text of a run, or lists of words that people judged, and what is found with them: figures and a gallery."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tellapart import reading
from tellapart.domains.words.corpus import Corpus
from tellapart.domains.words.gather import gather
from tellapart.domains.words.held_out import HeldOut
from tellapart.domains.words.judged import Judged
from tellapart.domains.words.network import require_kernel
from tellapart.domains.words.taken import Taken, are_vectors
from tellapart.evaluation import Table
from tellapart.runs import Gallery, Run

if TYPE_CHECKING:
    from tellapart.domains.words.network import WordVectors
    from tellapart.domains.words.options import WordOptions


@dataclass(frozen=True, eq=False)
class Dataset:
    """A text, most of which is for training."""

    corpus: Corpus
    held_out: HeldOut

    @classmethod
    def load(cls, options: WordOptions, run: Run, source: str | None = None) -> Dataset | Judged | Taken:
        """A run's text, which is read once and then kept with the run as ids; from another source, judged words.

        Raises:
            InputError: it is missing, broken or too short.
        """
        if source is not None:
            return Judged.load(source)
        if are_vectors(options.data):
            return Taken.load(options, run)
        if Corpus.exists(run.corpus):
            corpus = Corpus.open(run.corpus)
        else:
            require_kernel()  # before a long text is read
            corpus = gather(
                *(options.data, run.corpus),
                tokens=options.tokens(),
                min_count=options.min_count,
                phrases=options.joining() if options.phrases else None,
            )
        for note in corpus.found.notes():
            reading.note(note)
        run.check_data(corpus.fingerprint, can_begin=False)
        held_out = HeldOut(options.held_out, options.seed)
        held_out.alone(corpus)  # before training begins
        return cls(corpus, held_out)

    def gallery(self, after: WordVectors) -> Gallery:
        """All words, the most frequent first."""
        return after.gallery()

    def measure(self, before: WordVectors, after: WordVectors) -> Table:
        """The loss of the held-out passages; untrained vectors guess, since all scores are 0."""
        models = {"untrained": before, "trained": after}
        ids, k = self.held_out.alone(self.corpus), after.options.negatives
        is_softmax = after.options.objective == "infonce"
        guessing = math.log(k + 1) if is_softmax else (k + 1) * math.log(2)
        found = {name: m.kernel().measure(ids, m.options.seed) for name, m in models.items()}
        rows: list[list[str | float]] = [
            ["guessing", guessing, 1 / (k + 1)],
        ]
        rows += [[name, got.loss, got.accuracy] for name, got in found.items()]
        n, v = found["trained"].windows, len(self.corpus.vocabulary)
        title = f"Windows around {n:,} held-out words, of {v:,} different ones"
        said = "the true word against drawn ones" if is_softmax else "the sum over a true and drawn words"
        notes = [f"Loss: {said}, K = {k}, in nats per pair of words.", *self.corpus.found.notes()]
        return Table(title, ["", "loss", "true word first"], rows, ["", ".3f", ".3f"], notes)
