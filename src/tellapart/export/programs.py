"""Encoders as programs: an ExportedProgram of PyTorch, or ONNX. Both take tensors, any number of items at a time."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from tellapart.errors import InputError
from tellapart.files import new_folder
from tellapart.pretrained import library
from tellapart.runs import FinishedRun, TensorEncoder
from tellapart.version import __version__

_TOLERANCE = 1e-4


def write_torch(finished: FinishedRun, encoders: dict[str, TensorEncoder], folder: Path) -> str:
    """Write a `.pt2` for each encoder, which `torch.export.load` reads without this package; says what they take.

    Raises:
        InputError: an encoder cannot be traced, or the folder holds something.
    """
    with new_folder(folder) as partial:
        for kind, encoder in encoders.items():
            with _quiet():
                torch.export.save(_traced(kind, encoder), partial / f"{kind}.pt2")
        _tell_inputs(finished, encoders, partial, ".pt2")
    return _said(encoders, ".pt2")


def write_onnx(finished: FinishedRun, encoders: dict[str, TensorEncoder], folder: Path) -> str:
    """Write an `.onnx` for each encoder, and compare onnxruntime's vectors with its own; says what they take.

    Raises:
        InputError: the extra onnx is missing, an encoder cannot be traced, onnxruntime gives other vectors, or the
            folder holds something.
    """
    library("onnxscript", "onnx")
    runtime = library("onnxruntime", "onnx")
    with new_folder(folder) as partial:
        for kind, encoder in encoders.items():
            path = partial / f"{kind}.onnx"
            with _quiet():
                program = torch.onnx.export(
                    _traced(kind, encoder),
                    dynamo=True,
                    input_names=list(encoder.inputs),
                    output_names=["embeddings"],
                    verbose=False,
                )
                assert program is not None
                program.save(path)
            _check(runtime, kind, encoder, path)
        _tell_inputs(finished, encoders, partial, ".onnx")
    return _said(encoders, ".onnx")


def _traced(kind: str, encoder: TensorEncoder) -> ExportedProgram:
    """The encoder as a graph, for any number of items and, where they differ in length, any length."""
    tensors = encoder.read(encoder.example)
    axes: dict[int, Any] = {0: Dim("items", min=1)}
    if encoder.lengths:
        axes[1] = Dim("longest", min=encoder.lengths[0], max=encoder.lengths[1])
    shapes = (tuple(axes for _ in tensors),)  # of the one parameter that takes them all
    try:
        with _quiet(), torch.no_grad():
            return torch.export.export(encoder.module.eval(), tensors, dynamic_shapes=shapes)
    except Exception as error:  # each kind of model fails in its own way
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{kind}: this encoder cannot be traced by torch.export: {said}") from error


def _check(runtime: Any, kind: str, encoder: TensorEncoder, path: Path) -> None:
    """Hold the file to the encoder, with more and longer items than it was traced with."""
    tensors = tuple(torch.cat([tensor, tensor[:1]]) for tensor in encoder.read(encoder.example))
    if encoder.lengths:
        more = min(3, encoder.lengths[1] - tensors[0].shape[1])
        tensors = tuple(torch.nn.functional.pad(tensor, (0, more)) for tensor in tensors)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {name: tensor.numpy() for name, tensor in zip(encoder.inputs, tensors, strict=True)}
    (found,) = session.run(None, given)
    with torch.no_grad():
        expected = encoder.module(*tensors)
    apart = (torch.from_numpy(found) - expected).abs().max().item()
    if not apart <= _TOLERANCE:
        raise InputError(f"{kind}: onnxruntime's vectors differ by {apart:.2g}, more than {_TOLERANCE:g}.")


def _tell_inputs(finished: FinishedRun, encoders: dict[str, TensorEncoder], folder: Path, suffix: str) -> None:
    """Write beside the programs what they take."""
    told = {
        "library_name": "tellapart",
        "version": __version__,
        "system": finished.run.system,
        "programs": {f"{kind}{suffix}": encoder.inputs for kind, encoder in encoders.items()},
        "output": "embeddings, float32 (items, dimensions), of length 1",
    }
    (folder / "inputs.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _said(encoders: dict[str, TensorEncoder], suffix: str) -> str:
    takes = "; ".join(f"{kind}{suffix} takes {', '.join(encoder.inputs)}" for kind, encoder in encoders.items())
    return f"{takes} (see inputs.json)"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and its notes to its own developers off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
