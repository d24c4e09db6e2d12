"""The sequences of a run, for training and held out, and what is made of them: figures and a gallery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from tellapart.domains.genomes.measure import places_found, species_told
from tellapart.domains.genomes.options import GenomeOptions
from tellapart.domains.genomes.sequences import Regions, load_sequences, split_regions
from tellapart.domains.genomes.views import Places, piece_length, sequenced
from tellapart.runs import MAX_SHOWN, Gallery
from tellapart.training import Batches

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

    from tellapart.domains.genomes.buckets import Encode
    from tellapart.evaluation import Table
    from tellapart.runs import Run


@dataclass(frozen=True, eq=False)
class Loci:
    """Places in DNA to take reads from: a stretch of it each, and which part of the stretch."""

    bases: UInt8[Tensor, " total"]
    """All bases, in which places are counted; they stay where they are."""
    start: Int[Tensor, " n"]
    stop: Int[Tensor, " n"]
    sequence: Int[Tensor, " n"]
    part: Int[Tensor, " n"]
    n_parts: Int[Tensor, " n"]
    device: torch.device | None = None

    def to(self, device: torch.device) -> Loci:
        """The same, for reads that are wanted on `device`."""
        return replace(self, device=device)

    def shares(self) -> Float[Tensor, " n"]:
        """A random place of each part, from 0 at its stretch's beginning to 1 at its end."""
        return (self.part + torch.rand(len(self.part), dtype=torch.float64)) / self.n_parts


@dataclass(frozen=True, eq=False)
class Dataset:
    """Sequences, and which of their regions are to train on and which training never sees."""

    options: GenomeOptions
    sequences: Regions
    training: Regions
    test: Regions

    @classmethod
    def load(cls, options: GenomeOptions, run: Run, source: str | None = None) -> Dataset:
        """A run's own data; or, from another source, data divided in the same way: labels of one part are known.

        Raises:
            InputError: they are missing, broken or too few; or the run's own changed since it began.
        """
        if source is not None:
            return cls._divided(options, load_sequences(source))
        sequences = load_sequences(options.data)
        run.check_data(sequences.fingerprint())
        return cls._divided(options, sequences)

    @classmethod
    def _divided(cls, options: GenomeOptions, sequences: Regions) -> Dataset:
        least = 2 * max(options.window, options.read_length)
        return cls(options, sequences, *split_regions(sequences, options.held_out, options.seed, least))

    def batches(self) -> Batches:
        """The batches of a training: their rows are loci, of which every region has one for each read in its length."""
        n = self.n_loci()
        pieces = piece_length(self.training.lengths(), self.options.read_length)
        lengths = pieces.repeat_interleave(self._n_parts).numpy() if len(pieces.unique()) > 1 else None
        return Batches(n, self.options.batch_size, self.options.epochs, self.options.seed, lengths)

    def loci(self, rows: Int[Tensor, " n"]) -> Loci:
        """The loci at these rows."""
        n_parts, end = self._n_parts, self._ends
        region = torch.searchsorted(end, rows, right=True)
        chosen = self.training.rows(region)
        part = rows - (end - n_parts)[region]
        return Loci(chosen.bases, chosen.start, chosen.stop, chosen.sequence, part, n_parts[region])

    def n_loci(self) -> int:
        """How many there are in the regions to train on."""
        return int(self._ends[-1])

    def unseen(self) -> Dataset:
        """The same with the held-out regions in the place of those to train on, to measure the objective there."""
        return replace(self, training=self.test)

    @cached_property
    def _n_parts(self) -> Int[Tensor, " regions"]:
        return (self.training.lengths() // self.options.read_length).clamp(min=1)

    @cached_property
    def _ends(self) -> Int[Tensor, " regions"]:
        return self._n_parts.cumsum(0)

    def measure(self, before: Encode, after: Encode) -> Table:
        """Guessing, composition, the untrained and the trained network, on reads of regions held out.

        With several labels in both parts: how well they can be told from embeddings. Without: whether a read finds
        another of its neighbourhood.
        """
        encoders = {"untrained": before, "trained": after}
        if self.has_labels():
            return species_told(self.training, self.test, encoders, self.options)
        return places_found(self.test, encoders, self.options)

    def gallery(self, after: Encode) -> Gallery:
        """Reads of what was trained on and of what was held out, in random order, with their embeddings."""
        made = [self._whole_reads(part) for part in (self.training, self.test)]
        n_seen, n_out = (len(names) for _, names, _ in made)
        return Gallery(
            names=[name for _, names, _ in made for name in names],
            texts=None,
            held_out=torch.arange(n_seen + n_out) >= n_seen,
            vectors=torch.cat([after(reads) for reads, _, _ in made]),
            captions=None,
            thumbnails=None,
            labels=[label for _, _, labels in made for label in labels] if self.has_labels() else None,
            kind="read",
        )

    def has_labels(self) -> bool:
        """Whether several labels occur in both parts."""
        return all(len(part.label.unique()) > 1 for part in (self.training, self.test))

    def _whole_reads(self, part: Regions) -> tuple[UInt8[Tensor, "n length"], list[str], list[str]]:
        """Reads without errors, no two of them the same, with their place and label; what is shorter is read whole."""
        ends = part.lengths().cumsum(0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.options.seed)
            base = torch.randint(int(ends[-1]), (4 * MAX_SHOWN,))
            row = torch.searchsorted(ends, base, right=True)
            size = part.lengths()[row].clamp(max=self.options.read_length)
            room = part.lengths()[row] - size
            begin = part.start[row] + (torch.rand(len(row), dtype=torch.float64) * (room + 1)).long()
        kept = list({place: at for at, place in enumerate(begin.tolist())}.values())[:MAX_SHOWN]
        begin, row, size = begin[kept], row[kept], size[kept]
        sequence = part.sequence[row]
        first = (1 + begin - self.sequences.start[sequence]).tolist()
        places = zip(sequence.tolist(), first, size.tolist(), strict=True)
        names = [f"{part.names[sequence]}:{begin}-{begin + size - 1}" for sequence, begin, size in places]
        reads = sequenced(part.bases, Places(begin, size), part.stop[row])
        return reads, names, [part.classes[label] for label in part.label[row].tolist()]
