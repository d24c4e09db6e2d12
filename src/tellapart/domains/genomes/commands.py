"""What can be done with an encoder of DNA: measure it, make vectors of sequences, find reads that are most alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tellapart.domains.genomes.bins import Bins
from tellapart.domains.genomes.buckets import Encode, parts_of_records
from tellapart.domains.genomes.dataset import Dataset
from tellapart.domains.genomes.fastx import Record, find_files, read_letters, read_records
from tellapart.domains.given import as_texts, is_source, items_of, refuse
from tellapart.errors import InputError, exists
from tellapart.runs import Commands, FinishedRun, Gallery, Groups, Parts, Query, gathered

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn


def commands_for(make: Callable[[Any], nn.Module]) -> Commands:
    """The commands of a system with the model `make(config)`, which has a method `embed`."""
    return Commands(
        make_model=lambda config, _: make(config),
        encoder=attrgetter("embed"),
        load=Dataset.load,
        read=_read,
        ask=_ask,
        find=_find,
    )


def as_records(given: Any) -> Iterator[Record]:
    """Sequences, one at a time; those that come without a name are called by their row.

    Args:
        given: a FASTA or FASTQ file or a folder of them; the letters of one sequence; or a list, a tuple or a column
            of a data frame, of the letters of sequences, or of files (as `Path`).

    Raises:
        InputError: none of these, or something missing or broken; it names the place.
    """
    if is_source(given):
        if isinstance(given, str) and given.isalpha() and not exists(given):
            yield Record("0", read_letters(given))
        else:
            for file in find_files(str(given)):
                yield from read_records(file)
        return
    items = items_of(given)
    if items is None:
        refuse(given, "be a file, a folder, the letters of a sequence, or a list or column of sequences")
    if all(isinstance(item, Path) for item in items):
        for item in items:
            yield from as_records(item)
        return
    for row, letters in enumerate(as_texts(items, "sequence")):
        yield Record(str(row), read_letters(letters))


def cluster(finished: FinishedRun, source: Any, n: int | None) -> Bins:
    """Group sequences by their vectors, in n bins or, for `None`, in as many as HDBSCAN finds.

    Raises:
        InputError: there is nothing in `source` that can be embedded, or more bins than sequences.
    """
    groups = Groups.of(gathered(_read(finished, finished.model.embed, source)), n)
    return Bins(groups, partial(as_records, source))


def _read(_: FinishedRun, encode: Encode, source: Any) -> Parts:
    return parts_of_records(as_records(source), encode)


def _ask(_: FinishedRun, typed: str) -> list[Query]:
    """Each sequence of a file or a folder, or the letters of one."""
    if not exists(typed):
        return [Query(typed, typed)]
    return [Query(record.name, record) for record in as_records(typed)]


def _find(finished: FinishedRun, _: Gallery, query: Any) -> Float[Tensor, " d"]:
    """A sequence is looked for: a record, the only one of a file, or its letters."""
    is_letters = isinstance(query, str) and not (exists(query) and Path(query).is_file())
    if isinstance(query, Record):
        asked = [query]
    else:
        asked = [Record("", read_letters(query))] if is_letters else list(as_records(query))
    if len(asked) != 1:
        raise InputError(f"{query}: holds {len(asked)} sequences. Name a file of a single one.")
    encode: Encode = finished.model.embed
    return encode(torch.from_numpy(asked[0].bases)[None])[0]
