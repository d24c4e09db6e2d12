"""The formats in which any run that embeds can be written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tellapart.export.hub import write_hub
from tellapart.export.programs import write_onnx, write_torch
from tellapart.export.sentences import write_sentences
from tellapart.runs import FinishedRun, TensorEncoder

Export = Callable[[FinishedRun, Path], str]
"""Called as `export(finished, path)`: writes a run for other programs, and says in words what it wrote."""
Encoders = Callable[[FinishedRun], dict[str, TensorEncoder]]
"""Called as `encoders(finished)`: what embeds, by the kind of items in one word, such as "picture" and "text"."""


def formats(encoders: Encoders | None) -> dict[str, Export]:
    """What writes each format, by its name, the usual one first. Without encoders there is that of the hub alone."""
    found: dict[str, Export] = {"hub": write_hub}
    if encoders is not None:
        more = {"torch": write_torch, "onnx": write_onnx, "sentence-transformers": write_sentences}
        found |= {name: partial(_with, write, encoders) for name, write in more.items()}
    return found


def _with(
    write: Callable[[FinishedRun, dict[str, TensorEncoder], Path], str],
    encoders: Encoders,
    finished: FinishedRun,
    folder: Path,
) -> str:
    return write(finished, encoders(finished), folder)
