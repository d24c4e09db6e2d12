"""What a run's folder is made of: the names of its files, the facts kept in run.json, and a lock."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tellapart.errors import InputError
from tellapart.files import atomic_write, locked
from tellapart.runs.ranks import is_first_process


class RunFolder:
    """The files of a run, by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan: Callable[[], None] | None = None
        """What is to be written before it is trained on, if it is to be: until then a finished run is as it was."""
        self.config_file = folder / "config.yaml"
        self.log_file = folder / "log.jsonl"
        self.checkpoint = folder / "checkpoint.ckpt"
        self.weights = folder / "weights.safetensors"
        self.start = folder / "start.safetensors"
        self.start_vocabulary = folder / "start_vocabulary.parquet"
        self.tokeniser = folder / "tokenizer.json"
        self.pretraining = folder / "pretraining"
        self.reference = folder / "reference"
        self.reference_scores = folder / "reference.safetensors"
        self.corpus = folder / "corpus"
        self.vocabulary = self.corpus / "vocabulary.parquet"
        self.results_file = folder / "results.json"
        self.gallery = folder / "gallery.parquet"
        self.pictures = folder / "pictures.json"
        self.report = folder / "report.html"
        self.left_out = folder / "left_out.tsv"
        self._info_file = folder / "run.json"
        self._lock_file = folder / "lock"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training into this folder; the system frees it even after a kill.

        Raises:
            InputError: another process trains here.
        """

        def refuse() -> None:
            raise InputError(f"{self.folder}: another process is training here. Wait for it or stop it.")

        with locked(self._lock_file, refuse):
            for leftover in self._unfinished():  # of a writer that was killed
                leftover.unlink(missing_ok=True)
            yield

    def _unfinished(self) -> list[Path]:
        return list(self.folder.glob(".*.tmp"))

    def save_tokeniser(self, definition: str) -> None:
        """Keep how sentences become tokens; the first process does."""
        if not is_first_process():
            return
        with atomic_write(self.tokeniser) as file:
            file.write(definition.encode())

    def read_tokeniser(self) -> str:
        """How sentences become tokens.

        Raises:
            InputError: the file is missing or damaged.
        """
        try:
            return self.tokeniser.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.tokeniser}: missing or damaged. Train again into a new folder.") from error

    def facts(self) -> dict[str, Any]:
        """All that run.json keeps.

        Raises:
            InputError: the file is missing or damaged.
        """
        return self._read_json(self._info_file)

    @property
    def system(self) -> str:
        """The name of the system that is trained here."""
        return str(self.facts().get("system"))

    def again(self) -> str:
        """The command that continues the run, to be typed in any folder."""
        config, run = (str(path.resolve()) for path in (self.config_file, self.folder))
        return shlex.join(["tellapart", "train", self.system, "--config", config, "--run", run, "--resume"])

    def note(self, **facts: Any) -> None:
        """Keep facts as plain data, such as what the data turned out to be; the first process does."""
        if not is_first_process():
            return
        info = self.facts()
        if info != info | facts:
            self._write_json(self._info_file, info | facts)

    def noted(self, fact: str) -> int:
        """What was kept under that name.

        Raises:
            InputError: nothing, or no number.
        """
        value = self.facts().get(fact)
        if type(value) is not int:
            raise InputError(f"{self._info_file}: damaged, it holds no {fact}. Train again into a new folder.")
        return value

    def noted_names(self, fact: str) -> list[str]:
        """The names that were kept under that name.

        Raises:
            InputError: nothing, or no list of texts.
        """
        value = self.facts().get(fact)
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise InputError(f"{self._info_file}: damaged, it holds no {fact}. Train again into a new folder.")
        return value

    def _read_json(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: missing or damaged. {self._remake(path)}") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: damaged. {self._remake(path)}")
        return content

    def _remake(self, path: Path) -> str:
        """How to make a damaged file of the run anew: of run.json, a command that trains again elsewhere."""
        if path != self._info_file:
            return f"Make it anew with: {self.again()}"
        try:
            first = self.config_file.read_text(encoding="utf-8").partition("\n")[0]
        except (OSError, UnicodeDecodeError):
            first = ""
        system = re.search(r"tellapart train (\w+) ", first)
        if system is None:
            return "Restore it, or train again into a new folder."
        config, run = self.config_file.resolve(), self.folder.resolve()
        words = ["--config", str(config), "--run", str(run.with_name(f"{run.name}-again"))]
        return f"Restore it, or train again with: {shlex.join(['tellapart', 'train', system[1], *words])}"

    def _write_json(self, path: Path, content: dict[str, Any]) -> None:
        with atomic_write(path) as file:
            file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace"))
