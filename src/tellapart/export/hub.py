"""A folder in the layout of Hugging Face's hub: weights as safetensors, config.json, a model card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tellapart.errors import exists
from tellapart.export.card import model_card
from tellapart.files import new_folder
from tellapart.runs import FOLDERS, LIBRARY, OPTIONS, FinishedRun
from tellapart.training import TrainerOptions, TrainingOptions, as_plain_options
from tellapart.version import __version__

_KEPT = ("results.json", "tokenizer.json", "corpus/vocabulary.parquet")
_PLACES = ("reading", "init")  # of files on the machine that trained it


def write_hub(finished: FinishedRun, folder: Path) -> str:
    """Write the folder that `tellapart.load` reads; says what it is.

    Raises:
        InputError: training is not complete, the weights are damaged, or the folder holds something.
    """
    with new_folder(folder) as partial:
        fill(finished, partial)
    return f"weights, options and a model card, which tellapart.load({str(folder)!r}) reads"


def fill(finished: FinishedRun, folder: Path, *, how_to_use: str = "") -> None:
    """Write the same into a folder that is being made."""
    run = finished.run
    finished.model.eval()  # reads the weights, so that damaged ones are not passed on
    shutil.copy(run.weights, folder / "model.safetensors")
    for name in _KEPT:
        if (run.folder / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(run.folder / name, folder / name)
    options, models = _without_places(finished.config)
    for name, place in models.items():
        shutil.copytree(place, folder / name)
    facts = {name: value for name, value in run.facts().items() if name not in _PLACES}
    config = {LIBRARY: "tellapart", "model_type": "tellapart", **facts, "version": __version__}
    config |= {OPTIONS: options, FOLDERS: {name: name for name in models}}
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(model_card(finished, options, how_to_use), encoding="utf-8")


def _without_places(config: TrainingOptions) -> tuple[dict[str, Any], dict[str, Path]]:
    """The options without the folders of this machine, and which of them are models, to be taken along."""
    options = as_plain_options(config, TrainerOptions())
    models = {}
    for name, value in options.items():
        if isinstance(value, str) and value.startswith("/"):
            if "," not in value and exists(value) and (Path(value) / "config.json").is_file():
                models[name] = Path(value)
            options[name] = ",".join(Path(part).name for part in value.split(","))
    return options, models
