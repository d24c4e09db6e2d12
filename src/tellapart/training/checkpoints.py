"""How Lightning's checkpoints are written and read."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from tellapart.files import atomic_stream
from tellapart.training.saved import read_checkpoint


class Streamed:
    """A file that is being written; an error of the disk is kept until `check`, which raises it.

    So it can be handed to torch's writer, which loses errors: it calls from C++.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, content: bytes | memoryview) -> int:
        """Write, unless that failed before."""
        if self._error is None:
            try:
                self._file.write(content)
            except OSError as error:
                self._error = error
        return len(content)

    def flush(self) -> None:
        """Leave it to the end."""

    def check(self) -> None:
        """Raise the first error of a write, if there was one."""
        if self._error is not None:
            raise self._error


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all, and are read without unpickling code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it tensor by tensor, without a copy in memory, or leave what was there.

        Raises:
            InputError: the file cannot be written.
        """
        with atomic_stream(Path(path)) as file:
            stream = Streamed(file)
            torch.save(checkpoint, cast("IO[bytes]", stream))  # it writes and flushes, no more
            stream.check()

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read it.

        Raises:
            InputError: it is damaged, or holds more than tensors and plain data.
        """
        return read_checkpoint(Path(path), map_location)
