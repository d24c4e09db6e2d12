"""How Lightning's checkpoints are written and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from tellapart.files import atomic_write
from tellapart.training.saved import read_checkpoint


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all, and are read without unpickling code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it, or leave what was there.

        Raises:
            InputError: the file cannot be written.
        """
        with atomic_write(Path(path)) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read it.

        Raises:
            InputError: it is damaged, or holds more than tensors and plain data.
        """
        return read_checkpoint(Path(path), map_location)
