"""What can be done with a trained network: measure it, make vectors of sequences, find reads that are most alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tellapart.domains.genomes.buckets import Encode, embed_records
from tellapart.domains.genomes.fastx import Record, find_files, read_letters, read_records
from tellapart.domains.genomes.study import Study
from tellapart.errors import InputError, exists
from tellapart.runs import Embeddings, Gallery, Hit

if TYPE_CHECKING:
    from tellapart.evaluation import Table
    from tellapart.runs import Run


class Uses:
    """The commands for runs of one system, whose model is `make(config)` and has a method `embed`."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def encoders(self, config: Any, run: Run) -> tuple[Encode, Encode]:
        """What embeds reads as before training, and as now, in the usual precision.

        Raises:
            InputError: the run is not trained, or damaged.
        """
        before, after = run.before_and_after(lambda: self.make(config))
        return before.embed, after.embed

    def evaluate(self, config: Any, run: Run, data: str | None) -> Table:
        """How well reads of regions never seen tell labels, or find their neighbours: of the run's, or other data.

        Raises:
            InputError: the run is not trained, or the data missing, broken or changed.
        """
        encoders = self.encoders(config, run)
        if data is not None:
            return Study.of_others(config, data).measure(*encoders)
        table = Study.of_run(config, run).measure(*encoders)
        run.save_results(table.as_dict())
        return table

    def embed(self, config: Any, run: Run, source: str) -> Embeddings:
        """Embed every sequence of a file or a folder, as it is read: unit vectors.

        Raises:
            InputError: the run is not trained, or there are no sequences in `source`, or broken ones.
        """
        _, encode = self.encoders(config, run)
        records = (record for file in find_files(source) for record in read_records(file))
        names, vectors = embed_records(records, encode)
        return Embeddings(names, ["read"] * len(names), vectors)

    def search(self, config: Any, run: Run, query: str, k: int) -> list[Hit]:
        """The k reads of the run's gallery that are most like a sequence: a file that holds one, or its letters.

        Raises:
            InputError: the run is not trained, or the query is no sequence, or many.
        """
        _, encode = self.encoders(config, run)
        is_file = exists(query) and Path(query).is_file()
        asked = list(read_records(Path(query))) if is_file else [Record("", read_letters(query))]
        if len(asked) != 1:
            raise InputError(f"{query}: holds {len(asked)} sequences. Name a file of a single one.")
        return Gallery.load(run.gallery).best(encode(torch.from_numpy(asked[0].bases)[None])[0], k)
