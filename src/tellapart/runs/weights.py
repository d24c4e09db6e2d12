"""Weights in a file, whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tellapart.errors import InputError
from tellapart.files import atomic_write

if TYPE_CHECKING:
    from torch import Tensor, nn


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights by their names.

    Raises:
        InputError: the file cannot be written.
    """
    from safetensors.torch import save

    with atomic_write(path) as file:
        file.write(save({name: value.contiguous() for name, value in weights.items()}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by their names.

    Raises:
        InputError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged or of another model. Train again.") from error


def load_weights(path: Path, model: nn.Module) -> None:
    """Read all weights of a model.

    Raises:
        InputError: the file is missing, damaged or of another model.
    """
    try:
        model.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise InputError(f"{path}: damaged or of another model. Train again.") from error
