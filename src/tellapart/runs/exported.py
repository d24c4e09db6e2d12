"""The folder that `tellapart export --format hub` writes: what embeds, and nothing of the training data.

README.md          what it is, for people
config.json        system, version, options, and what the data turned out to be
model.safetensors  the trained weights
results.json       what evaluation found
tokenizer.json     of a transformer; and a folder for each pretrained model that the options name
corpus/            of words: the vocabulary

It is read by `tellapart.load`. Nothing in it is unpickled, and nothing is fetched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tellapart.runs.run import Run

LIBRARY, FOLDERS, OPTIONS = "library_name", "folders", "options"


class ExportedRun(Run):
    """Such a folder, to be used as the run that it was made of."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.config_file = self._info_file = folder / "config.json"
        self.weights = folder / "model.safetensors"

    def options(self) -> dict[str, Any]:
        """The resolved options; those that name models name the folder's own.

        Raises:
            InputError: the file is missing or damaged.
        """
        config = self._read_json(self.config_file)
        models = {name: str(self.folder / place) for name, place in config.get(FOLDERS, {}).items()}
        return {**config.get(OPTIONS, {}), **models}


def open_run(folder: Path) -> Run:
    """An existing run, or one that was exported.

    Raises:
        InputError: the folder is missing, or neither.
    """
    exported = ExportedRun(folder)
    if not (folder / "run.json").is_file() and exported.config_file.is_file() and _is_ours(exported.config_file):
        return exported
    return Run.open(folder)


def _is_ours(file: Path) -> bool:
    try:
        return bool(json.loads(file.read_text(encoding="utf-8")).get(LIBRARY) == "tellapart")
    except (OSError, ValueError, AttributeError):
        return False
