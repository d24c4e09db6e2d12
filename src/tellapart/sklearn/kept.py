"""The folder of a fitted estimator: given, or temporary and gone with it; pickled with its files."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path
from typing import Any

from tellapart import api
from tellapart.runs import Run, width_of

_LEFT_OUT = {"checkpoint.ckpt", "lock"}


class Kept:
    """Where an estimator's run is, and the data that it was trained on.

    Args:
        run: the run's folder; by default one in a temporary folder.
    """

    def __init__(self, run: str | Path | None = None) -> None:
        self.run = self._temporary() if run is None else Path(run)

    def _temporary(self) -> Path:
        made = tempfile.mkdtemp(prefix="tellapart-")
        weakref.finalize(self, _remove, made, os.getpid())
        return Path(made) / "run"

    @property
    def data(self) -> Path:
        """Where the data are written: beside the run."""
        return self.run.with_name(f"{self.run.name}-data")

    @cached_property
    def trained(self) -> api.Trained:
        """The run, for use."""
        return api.load(self.run)

    def width(self) -> int:
        """The length of the run's vectors."""
        return width_of(Run(self.run).gallery)

    def __getstate__(self) -> dict[str, Any]:
        files = [file for file in sorted(self.run.rglob("*")) if file.is_file() and file.name not in _LEFT_OUT]
        return {"files": {str(file.relative_to(self.run)): file.read_bytes() for file in files}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.run = self._temporary()
        for name, content in state["files"].items():
            file = self.run / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # a fork holds the same object
        shutil.rmtree(folder, ignore_errors=True)
