"""How Lightning's checkpoints are written and read."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, cast

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from tellapart.errors import InputError
from tellapart.files import atomic_stream


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all, and are read without unpickling code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it tensor by tensor, without a copy in memory, or leave what was there.

        Raises:
            InputError: the file cannot be written.
        """
        with atomic_stream(Path(path)) as file:
            torch.save(checkpoint, cast("IO[bytes]", file))  # it writes and flushes, no more

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read it.

        Raises:
            InputError: it is damaged, or holds more than tensors and plain data.
        """
        try:
            state: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except Exception as error:  # a damaged file fails in as many ways as there are bytes
            raise InputError(f"{path}: damaged checkpoint. Delete it to train this run from its start.") from error
        return state
