"""Sequences in bins, such as the contigs of the species of a metagenome, a FASTA file a bin."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tellapart import reading
from tellapart.domains.genomes.bases import decode
from tellapart.errors import InputError
from tellapart.files import new_folder
from tellapart.runs import Groups, check_rows_ending

if TYPE_CHECKING:
    from tellapart.domains.genomes.fastx import Record
    from tellapart.evaluation import Table

ENDINGS = (".csv", ".parquet", "")
"""Of what bins are written to; "" is a folder."""
_LINE = 80  # letters
_AT_ONCE = 2**24  # letters that are in memory


@dataclass(frozen=True, eq=False)
class Bins:
    """The bins of sequences, and how to read these once more."""

    groups: Groups
    records: Callable[[], Iterable[Record]]

    def table(self) -> Table:
        """How many sequences each bin has, and one of them."""
        return self.groups.table("sequence")

    def save(self, path: Path) -> None:
        """Write name and group of each sequence as CSV or Parquet; or a new folder with a FASTA file a group.

        The files are called `group-0.fasta`, `group-1.fasta`, …, and `in-no-group.fasta`.

        Raises:
            InputError: another ending, sequences that changed, or something that cannot be written.
        """
        check_rows_ending(path, ENDINGS)
        if path.suffix:
            self.groups.save(path)
            return
        with reading.accounted(), new_folder(path) as folder:  # they have been accounted for when they were embedded
            waiting: dict[int, list[str]] = {}
            n = 0
            for row, record in enumerate(self.records()):
                if row >= len(self.groups.names) or record.name != self.groups.names[row]:
                    raise InputError("x: the sequences changed while they were clustered. Run the command again.")
                group = int(self.groups.number[row])
                waiting.setdefault(group, []).append(_as_fasta(record))
                n += len(record.bases)
                if n >= _AT_ONCE:
                    _append(folder, waiting)
                    waiting, n = {}, 0
            _append(folder, waiting)


def _as_fasta(record: Record) -> str:
    letters = decode(torch.from_numpy(record.bases))
    lines = [letters[start : start + _LINE] for start in range(0, len(letters), _LINE)]
    return "\n".join([f">{record.name} {record.about}".rstrip(), *lines, ""])


def _append(folder: Path, waiting: dict[int, list[str]]) -> None:
    for group, texts in waiting.items():
        name = f"group-{group}.fasta" if group >= 0 else "in-no-group.fasta"
        with (folder / name).open("a", encoding="utf-8") as file:
            file.writelines(texts)
