"""DNA to train on: all records of a source in one row of bytes, a base each, and what they are labelled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.genomes.fastx import find_files, read_records, stem
from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Int, UInt8
    from torch import Tensor

_REGIONS, _LARGEST = 20, 100_000


@dataclass(frozen=True, eq=False)
class Regions:
    """Stretches of DNA, one row each: where it begins and ends in `bases`, and which sequence it is of.

    Places in `bases` are counted from 0 over all sequences, one after the other.
    """

    bases: UInt8[Tensor, " total"]
    start: Int[Tensor, " n"]
    stop: Int[Tensor, " n"]
    sequence: Int[Tensor, " n"]
    label: Int[Tensor, " n"]
    names: list[str]
    """What each sequence is called."""
    classes: list[str]
    """What each label is called."""

    def __len__(self) -> int:
        return len(self.start)

    def lengths(self) -> Int[Tensor, " n"]:
        """The number of bases of each."""
        return self.stop - self.start

    def rows(self, index: Tensor) -> Regions:
        """Those at these rows, or where a mask says so."""
        columns = self.start[index], self.stop[index], self.sequence[index], self.label[index]
        return Regions(self.bases, *columns, self.names, self.classes)

    def fingerprint(self) -> str:
        """A hash of all that is in here, to tell whether data changed between two commands."""
        digest = hashlib.sha256(self.bases.numpy().tobytes())
        for column in (self.start, self.stop, self.sequence, self.label):
            digest.update(column.numpy().tobytes())
        digest.update("\0".join([*self.names, *self.classes]).encode())
        return digest.hexdigest()


def load_sequences(source: str) -> Regions:
    """All records of a FASTA or FASTQ file, or of a folder of them: genomes, contigs or reads; each a region.

    Labels, of which evaluation alone makes use: the subfolder that a file is in, or the file's own name; all records
    of a single file have the same.

    Raises:
        InputError: something missing or broken; it names the file and the record.
    """
    files, folder = find_files(source), Path(source)
    classes = sorted({_class(file, folder) for file in files})
    bases, names, stop, label = bytearray(), [], [], []
    for file in files:
        for record in read_records(file):
            bases += record.bases.tobytes()
            names.append(record.name)
            stop.append(len(bases))
            label.append(classes.index(_class(file, folder)))
    ends = torch.tensor(stop)
    begins = torch.cat([torch.zeros(1, dtype=torch.int64), ends[:-1]])
    together = torch.frombuffer(bases, dtype=torch.uint8)
    return Regions(together, begins, ends, torch.arange(len(names)), torch.tensor(label), names, classes)


def split_regions(sequences: Regions, held_out: float, seed: int, least: int) -> tuple[Regions, Regions]:
    """Regions to train on, and regions that training never sees, of every label.

    Sequences are cut into equal parts of a twentieth of all that has their label, at most of some 100 000 bases and at
    least of `least`; shorter ones, such as reads, stay whole. Of each label parts are drawn until the share `held_out`
    of its bases is reached. What has a single part is trained on.

    Raises:
        InputError: nothing would be held out, or nothing left to train on.
    """
    cut = _cut(sequences, least)
    out = torch.zeros(len(cut), dtype=torch.bool)
    for label in range(len(cut.classes)):
        rows = (cut.label == label).nonzero().flatten().numpy()
        if len(rows) < 2:
            continue
        order = rows[np.random.default_rng([seed, label]).permutation(len(rows))]
        done = cut.lengths()[order].cumsum(0)
        n_out = int((done < held_out * done[-1]).sum()) + 1
        out[order[: min(n_out, len(rows) - 1)]] = True
    if not out.any():
        what = f"{len(cut)} sequence of {len(sequences.bases)} bases"
        raise InputError(f"data: {what}, too little to hold a part out. Give at least two, or longer ones.")
    return cut.rows(~out), cut.rows(out)


def _class(file: Path, folder: Path) -> str:
    inside = file.relative_to(folder).parts
    return inside[0] if len(inside) > 1 else stem(file)


def _cut(sequences: Regions, least: int) -> Regions:
    """Every sequence in as many equal parts as there are regions in it."""
    lengths = sequences.lengths()
    of_label = torch.zeros(len(sequences.classes), dtype=torch.int64).index_add(0, sequences.label, lengths)
    size = (of_label // _REGIONS).clamp(max=_LARGEST).clamp(min=least)[sequences.label]
    n_parts = (lengths // size).clamp(min=1)
    whole = torch.arange(len(sequences)).repeat_interleave(n_parts)
    part = torch.arange(len(whole)) - (n_parts.cumsum(0) - n_parts)[whole]
    cut = sequences.rows(whole)
    # Rounded down in integers, so that each part begins where the one before it ends.
    begin, end = (cut.start + cut.lengths() * at // n_parts[whole] for at in (part, part + 1))
    return Regions(cut.bases, begin, end, cut.sequence, cut.label, cut.names, cut.classes)
