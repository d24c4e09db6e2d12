"""Embed a source into a file, part after part: what was stopped goes on, and several processes share the parts."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from tellapart import reading
from tellapart.errors import InputError
from tellapart.files import atomic_write
from tellapart.runs.formats import as_table, check_suffix, vectors_of, write
from tellapart.runs.gallery import Embeddings
from tellapart.runs.parts import Part, embedded
from tellapart.runs.progress import Progression
from tellapart.runs.ranks import together
from tellapart.runs.run import Run
from tellapart.version import __version__

_OF, _READ = b"of", b"read"
_logger = logging.getLogger("tellapart")


def write_embeddings(parts: Iterable[Part], path: Path, run: Run) -> tuple[int, int] | None:
    """Embed all parts into one file of a format of `write`; how many vectors there are, and of which length.

    Each part is kept in a folder beside the file, `NAME.partial`, until all are done; then the file is written in one
    step. Called again after it was stopped, it takes those parts that are of the same items and the same run. Of
    processes that `torchrun` starts each embeds every so many-th part, and the first writes the file; the others
    return `None`.

    Raises:
        InputError: another ending, something that cannot be embedded or written, or more broken items than others.
    """
    check_suffix(path)
    with together() as us:
        attempt = _Attempt(path, run)
        n = attempt.fill(parts, us.rank, us.size)
        us.wait()
        found = attempt.finish(n) if us.rank == 0 else None
        us.wait()
        return found


class _Attempt:
    """The parts of a file that are done."""

    def __init__(self, path: Path, run: Run) -> None:
        self.path, self.folder = path, path.with_name(f"{path.name}.partial")
        self.run = _digest(run)

    def fill(self, parts: Iterable[Part], rank: int, size: int) -> int:
        """Embed this process's share of what is not done yet; how many parts there are in all."""
        number, kept, rows, told = -1, 0, 0, set[str]()

        def tell(line: str) -> None:
            if rank == 0 and line not in told:
                _logger.info("%s: %s", self.path, line)
                told.add(line)

        try:
            with Progression("embedding", rank == 0) as progress:
                for number, part in enumerate(parts):
                    if number % size != rank:
                        continue
                    of = f"{self.run} {digest}" if (digest := part.digest()) else ""
                    if self._has(number, of):
                        kept += 1
                        continue
                    if self._file(number).exists():
                        tell("the input or the run is not that of an earlier attempt. What differs is embedded anew.")
                    elif kept:
                        tell("goes on where an earlier attempt was stopped.")
                    found, account = embedded(part)
                    self._keep(number, of, found, account)
                    rows += 0 if found is None else len(found)
                    progress.show(f"{rows:,} done", part.behind)
        except KeyboardInterrupt:
            tell(f"stopped. What is done is in {self.folder}, and the same command goes on from there.")
            raise
        return number + 1

    def finish(self, n: int) -> tuple[int, int]:
        """Write the file of n parts, and remove them."""
        reading.enter_parts(self._account(number) for number in range(n))
        shape = write(self._read(n), self.path)
        shutil.rmtree(self.folder, ignore_errors=True)
        return shape

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06}.parquet"

    def _has(self, number: int, of: str) -> bool:
        """Whether a part is done; without a record of its items it counts as not done."""
        return bool(of) and self._file(number).exists() and self._told(number).get(_OF) == of.encode()

    def _told(self, number: int) -> dict[bytes, bytes]:
        """What is kept beside the vectors of a part; nothing if the file is damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.read_schema(self._file(number)).metadata or {}
        except (pa.ArrowException, OSError):
            return {}

    def _keep(self, number: int, of: str, found: Embeddings | None, account: reading.Account) -> None:
        import pyarrow.parquet as pq

        made = Embeddings([], [], torch.empty(0, 1)) if found is None else found
        with atomic_write(self._file(number)) as file:
            pq.write_table(as_table(made, {_OF.decode(): of, _READ.decode(): _packed(account)}), file)

    def _account(self, number: int) -> reading.Account:
        return _unpacked(self._told(number)[_READ])

    def _read(self, n: int) -> Iterator[Embeddings]:
        import pyarrow.parquet as pq

        for number in range(n):
            table = pq.read_table(self._file(number))
            if len(table):
                vectors = torch.tensor(vectors_of(table["embedding"]))
                yield Embeddings(table["name"].to_pylist(), table["kind"].to_pylist(), vectors)


def _digest(run: Run) -> str:
    """A hash of all that decides what a run makes of an item."""
    found = hashlib.blake2b(__version__.encode(), digest_size=16)
    for path in (run.weights, run.config_file):
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "blake2b").digest())
    return found.hexdigest()


def _packed(account: reading.Account) -> str:
    broken = [str(error) for error in account.pending]
    kept = {"read": account.read, "left_out": account.left_out, "counts": account.counts, "notes": account.notes}
    return json.dumps(kept | {"broken": broken})


def _unpacked(text: bytes) -> reading.Account:
    kept = json.loads(text)
    errors = [InputError(message) for message in kept.pop("broken")]
    return reading.Account(**kept, pending=errors, is_part=True)
