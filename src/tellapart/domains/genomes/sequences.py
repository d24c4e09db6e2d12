"""DNA to train on: all records of a source, concatenated as one byte per base, with their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tellapart import reading
from tellapart.domains.folders import below_wrappers
from tellapart.domains.genomes.fastx import find_files, read_records, stem
from tellapart.domains.held_out import drawn
from tellapart.domains.text_store import fits_in_memory, stored
from tellapart.domains.texts import Texts, digest_of
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Int, UInt8
    from torch import Tensor

_REGIONS, _LARGEST = 20, 100_000
_CHUNK = 2**24


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of DNA, one row each: start and stop in `bases`, the sequence, and the label.

    Positions in `bases` are counted from 0 over all sequences, which are concatenated.
    """

    bases: UInt8[Tensor, " total"]
    start: Int[Tensor, " n"]
    stop: Int[Tensor, " n"]
    sequence: Int[Tensor, " n"]
    label: Int[Tensor, " n"]
    names: Sequence[str]
    """The name of each sequence."""
    classes: list[str]
    """The name of each label."""

    def __len__(self) -> int:
        return len(self.start)

    def lengths(self) -> Int[Tensor, " n"]:
        """The number of bases of each region."""
        return self.stop - self.start

    def rows(self, index: Tensor) -> Regions:
        """The regions at these rows, or those of a mask."""
        columns = self.start[index], self.stop[index], self.sequence[index], self.label[index]
        return Regions(self.bases, *columns, self.names, self.classes)

    def fingerprint(self) -> str:
        """A hash of all content, to detect that data changed between two commands."""
        digest = hashlib.sha256()
        for chunk in self.bases.split(_CHUNK):
            digest.update(chunk[chunk != 0].numpy().data)  # a store has a 0 behind each sequence
        stop = self.lengths().cumsum(0)
        for column in (stop - self.lengths(), stop, self.sequence, self.label):
            digest.update(column.numpy().data)
        for piece in digest_of(self.names, self.classes):
            digest.update(piece)
        return digest.hexdigest()


def load_sequences(source: str) -> Regions:
    """All records of a FASTA or FASTQ file, or of a folder of them: genomes, contigs or reads; each is a region.

    Bases of files that are too large for the memory go to a store (`tellapart.domains.text_store`). Its file is mapped:
    a step picks single bases from all over it, and a base is a byte in it.

    A record's label is the first subfolder that not all files are in, or the file's name. Only evaluation uses
    labels. All records of a single file have the same label.

    Raises:
        InputError: something is missing or broken; the message names the file and the record.
    """
    files, folder = find_files(source), Path(source)
    label_of = _labels(files, folder)
    classes = sorted(set(label_of.values()))
    labels = [classes.index(label_of[file]) for file in files]
    if not fits_in_memory(files):
        return _in_store(files, labels, classes)
    bases, names, stop, label = bytearray(), [], [], []
    for file, number in zip(files, labels, strict=True):
        for record in read_records(file):
            bases += record.bases.tobytes()
            names.append(record.name)
            stop.append(len(bases))
            label.append(number)
    ends = torch.tensor(stop)
    begins = torch.cat([torch.zeros(1, dtype=torch.int64), ends[:-1]])
    together = torch.frombuffer(bases, dtype=torch.uint8)
    return Regions(together, begins, ends, torch.arange(len(names)), torch.tensor(label), names, classes)


def _in_store(files: list[Path], labels: list[int], classes: list[str]) -> Regions:
    def rows(facts: dict[str, Any]) -> Iterator[tuple[str | bytes, ...]]:
        facts["of_each_file"] = []
        for file in files:
            n = 0
            for n, record in enumerate(read_records(file), 1):  # noqa: B007
                yield record.name, record.bases.tobytes()
            facts["of_each_file"].append(n)

    made = stored(files, "sequences", {"name": None, "bases": None}, rows, "Bases")
    file = made.file("bases")
    bases = torch.from_file(str(file), shared=False, size=file.stat().st_size, dtype=torch.uint8)
    places = torch.from_file(str(file.with_suffix(".places")), shared=False, size=2 * made.n, dtype=torch.int64)
    start, stop = places.reshape(-1, 2).unbind(1)
    label = torch.tensor(labels).repeat_interleave(torch.tensor(made.facts["of_each_file"]))
    names = Texts(made.file("name"), np.arange(made.n))
    return Regions(bases, start, stop, torch.arange(made.n), label, names, classes)


def split_regions(sequences: Regions, held_out: float, seed: int, least: int) -> tuple[Regions, Regions]:
    """Regions for training and regions held out, for every label.

    Sequences are cut into equal parts of a twentieth of their label's bases, at most about 100 000 and at least
    `least`. Shorter sequences, such as reads, stay whole. For each label, parts are drawn until the share `held_out`
    of its bases is reached; a part that would exceed it by half is passed over. A label with a single part is not held
    out, unless all labels have one.

    Raises:
        InputError: too little data to hold a part out.
    """
    cut = _cut(sequences, least)
    out = torch.zeros(len(cut), dtype=torch.bool)
    lengths = cut.lengths().numpy()
    rows_of = [(cut.label == label).nonzero().flatten().numpy() for label in range(len(cut.classes))]
    if len(cut) > 1 and all(len(rows) < 2 for rows in rows_of):
        reading.note("No label has two parts: whole labels are held out.")
        rows_of = [np.arange(len(cut))]
    for label, rows in enumerate(rows_of):
        if len(rows) < 2:
            continue
        order = np.random.default_rng([seed, label]).permutation(len(rows))
        out[rows[drawn(lengths[rows], order, held_out, 1, len(rows) - 1)]] = True
    if not out.any():
        what = f"{len(cut)} sequence of {len(sequences.bases)} bases"
        raise InputError(f"data: {what}, too little to hold a part out. Give at least two, or longer ones.")
    return cut.rows(~out), cut.rows(out)


def _labels(files: list[Path], folder: Path) -> dict[Path, str]:
    """Of each file: the first folder that is not common to all, as NCBI's downloads have; or the file's name."""
    places = {file: file.relative_to(folder).parts for file in files}
    depth = below_wrappers(list(places.values()))
    found = {file: place[depth] if len(place) > depth + 1 else stem(file) for file, place in places.items()}
    if len(files) > 1:
        reading.note(f"Labels: {reading.listed(sorted(set(found.values())))}.")
    return found


def _cut(sequences: Regions, least: int) -> Regions:
    """Every sequence cut into equal parts."""
    lengths = sequences.lengths()
    of_label = torch.zeros(len(sequences.classes), dtype=torch.int64).index_add(0, sequences.label, lengths)
    size = (of_label // _REGIONS).clamp(max=_LARGEST).clamp(min=least)[sequences.label]
    n_parts = (lengths // size).clamp(min=1)
    if int(n_parts.max()) == 1:
        return sequences
    whole = torch.arange(len(sequences)).repeat_interleave(n_parts)
    part = torch.arange(len(whole)) - (n_parts.cumsum(0) - n_parts)[whole]
    cut = sequences.rows(whole)
    # Integer division, so that each part begins where the one before it ends.
    begin, end = (cut.start + cut.lengths() * at // n_parts[whole] for at in (part, part + 1))
    return Regions(cut.bases, begin, end, cut.sequence, cut.label, cut.names, cut.classes)
