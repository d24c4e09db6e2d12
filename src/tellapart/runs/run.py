"""The run folder: everything about one training, readable without this program and safe from a kill.

run.json            system, version, fingerprint of the data, what shape they are of, and what was read of them
left_out.tsv        what was left out of the data, and why, if anything was
config.yaml         the resolved options; `tellapart train SYSTEM --config` takes it as it is
log.jsonl           one line per step
checkpoint.ckpt     weights, optimizer and progress, to resume from
tokenizer.json      of a transformer: how sentences become tokens
pretraining/        of a model that learns in two stages: log, checkpoint and weights of the first
reference/          the model that the second stage begins with, as transformers writes it
reference.safetensors  what that model says of the training data
weights.safetensors the trained weights, once training is complete
results.json        what evaluation found
corpus              of words: the vocabulary, and the text as ids
pictures.json       pictures of what was found, for the report
gallery.parquet     embeddings of all data, for search and report
report.html         the page to look at
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from tellapart import reading
from tellapart.errors import InputError, cannot_write
from tellapart.files import atomic_write
from tellapart.runs.ranks import is_first_process
from tellapart.version import __version__

_logger = logging.getLogger("tellapart")


class Run:
    """A folder that holds one training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config_file = folder / "config.yaml"
        self.log_file = folder / "log.jsonl"
        self.checkpoint = folder / "checkpoint.ckpt"
        self.weights = folder / "weights.safetensors"
        self.tokeniser = folder / "tokenizer.json"
        self.pretraining = folder / "pretraining"
        self.reference = folder / "reference"
        self.reference_scores = folder / "reference.safetensors"
        self.corpus = folder / "corpus"
        self.results_file = folder / "results.json"
        self.gallery = folder / "gallery.parquet"
        self.pictures = folder / "pictures.json"
        self.report = folder / "report.html"
        self.left_out = folder / "left_out.tsv"
        self._info_file = folder / "run.json"
        self._lock_file = folder / "lock"

    def check_free(self) -> None:
        """Raise `InputError` unless a run may begin here: in a new, an empty or an unbegun run's folder.

        What a training leaves that a mistake stopped before its first step may be written over.
        """
        if self.has_begun():
            again = "Continue it with --resume (in Python: resume=True)"
            raise InputError(f"{self.folder}: holds a run already. {again}, or choose another --run.")
        ours = {self.config_file, self.tokeniser, self.pretraining, self.reference_scores, self._info_file}
        ours |= {self.left_out, self.corpus, self.corpus.with_suffix(".partial"), self._lock_file, *self._unfinished()}
        if self.folder.exists() and (not self.folder.is_dir() or set(self.folder.iterdir()) - ours):
            raise InputError(f"{self.folder}: exists and is not an empty folder. Choose another --run.")

    def begin(self, system: str, options: dict[str, Any]) -> None:
        """Write what the run is to be, and drop what an attempt left that a mistake stopped.

        Raises:
            InputError: a file cannot be written.
        """
        self.tokeniser.unlink(missing_ok=True)
        self.reference_scores.unlink(missing_ok=True)
        self.left_out.unlink(missing_ok=True)
        shutil.rmtree(self.corpus, ignore_errors=True)
        again = f"tellapart train {system} --config THIS_FILE --run FOLDER"
        content = f"# tellapart {__version__}; to run it again: {again}\n"
        content += yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
        with atomic_write(self.config_file) as file:
            file.write(content.encode())
        self._write_json(self._info_file, {"system": system, "version": __version__})

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open an existing run.

        Raises:
            InputError: the folder is missing or no run.
        """
        run = cls(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such run folder.")
        if not run.exists():
            what = "not a run folder, it has no run.json. `tellapart systems` lists what can be trained into one"
            raise InputError(f"{folder}: {what}.")
        return run

    def exists(self) -> bool:
        """Whether the folder holds a run, in whatever state."""
        return self._info_file.is_file()

    def has_begun(self) -> bool:
        """Whether a first step of training was logged or saved here, of either stage."""
        stages = self, Run(self.pretraining)
        files = [file for stage in stages for file in (stage.log_file, stage.checkpoint, stage.weights)]
        return self.exists() and any(file.is_file() for file in files)

    @property
    def system(self) -> str:
        """The name of the system that is trained here."""
        return str(self._read_json(self._info_file).get("system"))

    def options(self) -> dict[str, Any]:
        """The resolved options; those of the trainer are under "trainer".

        Raises:
            InputError: the file is missing or damaged.
        """
        try:
            options = yaml.safe_load(self.config_file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{self.config_file}: missing or damaged, so the run cannot be used.") from error
        if not isinstance(options, dict):
            raise InputError(f"{self.config_file}: damaged, so the run cannot be used.")
        return options

    def check_data(self, fingerprint: str, what: str = "data") -> None:
        """Note the data's fingerprint at first sight, under what they are; later, refuse data that changed since.

        Of processes that train together the first alone does: others may be here before it has made the folder.

        Raises:
            InputError: the data is not what the run was started with.
        """
        if not is_first_process():
            return
        info, account = self._read_json(self._info_file), reading.current()
        if info.get(what, fingerprint) != fingerprint:
            raise InputError(f"{self.folder}: the {what} changed since the run began. Restore it, or start a new run.")
        if account is not None:
            account.tell()
        if what not in info:
            self._write_json(self._info_file, info | {what: fingerprint} | self._kept(account))

    def _kept(self, account: reading.Account | None) -> dict[str, Any]:
        """What the folder keeps of an account: its counts, and in a file of its own the places of what was left out."""
        if account is None:
            return {}
        if places := account.places():
            with atomic_write(self.left_out) as file:
                file.write("".join(f"{why}\t{place}\n" for why, place in places).encode("utf-8", "replace"))
        return {"reading": account.as_dict()}

    def told(self) -> str:
        """What was read of the run's data and what was left out, in one line; "" if the run does not say."""
        known = self._read_json(self._info_file).get("reading")
        return str(known.get("told", "")) if isinstance(known, dict) else ""

    def note(self, **facts: int | list[str]) -> None:
        """Keep what the data turned out to be, so that the run can be used without them; the first process does."""
        if not is_first_process():
            return
        info = self._read_json(self._info_file)
        if info != info | facts:
            self._write_json(self._info_file, info | facts)

    def noted(self, fact: str) -> int:
        """What was kept under that name.

        Raises:
            InputError: nothing, or no number.
        """
        value = self._read_json(self._info_file).get(fact)
        if type(value) is not int:
            raise InputError(f"{self._info_file}: damaged, it holds no {fact}. Train again into a new folder.")
        return value

    def noted_names(self, fact: str) -> list[str]:
        """The names that were kept under that name.

        Raises:
            InputError: nothing, or no list of texts.
        """
        value = self._read_json(self._info_file).get(fact)
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise InputError(f"{self._info_file}: damaged, it holds no {fact}. Train again into a new folder.")
        return value

    def is_trained(self) -> bool:
        """Whether training is complete."""
        return self.weights.is_file()

    def save_weights(self, model: nn.Module) -> None:
        """Write the trained weights, which makes the run complete."""
        from safetensors.torch import save

        with atomic_write(self.weights) as file:
            file.write(save({name: value.contiguous() for name, value in model.state_dict().items()}))

    def load_weights(self, model: nn.Module) -> None:
        """Read the trained weights into `model`.

        Raises:
            InputError: training is not complete, or the file is damaged or of another model.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        self.check_trained()
        try:
            model.load_state_dict(load(self.weights.read_bytes()))
        except (SafetensorError, RuntimeError, OSError) as error:
            raise InputError(f"{self.weights}: damaged or of another model. Train again.") from error
        model.eval()

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

    def check_trained(self) -> None:
        """Raise `InputError` unless training is complete."""
        if not self.is_trained():
            raise InputError(f"{self.folder}: not trained to its end. Continue it with: {self.again()}")

    def again(self) -> str:
        """The command that continues the run, to be typed in any folder."""
        config, run = (str(path.resolve()) for path in (self.config_file, self.folder))
        return shlex.join(["tellapart", "train", self.system, "--config", config, "--run", run, "--resume"])

    def log(self) -> list[dict[str, float]]:
        """The log, one entry per step; a line torn by a kill is left out.

        Raises:
            InputError: a line that is no entry.
        """
        entries = []
        for line in self.log_file.read_text(encoding="utf-8").splitlines() if self.log_file.is_file() else []:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                break
            if not isinstance(entry, dict) or "step" not in entry:
                raise InputError(f"{self.log_file}: damaged. Restore it, or train again into a new folder.")
            entries.append(entry)
        return entries

    def rewind_log(self, step: int) -> None:
        """Drop what the log says of steps after `step`, which are about to be done again."""
        kept = [entry for entry in self.log() if entry["step"] <= step]
        with atomic_write(self.log_file) as file:
            file.write("".join(json.dumps(entry) + "\n" for entry in kept).encode())

    def results(self) -> dict[str, Any]:
        """What evaluation found.

        Raises:
            InputError: the file is missing or damaged.
        """
        return self._read_json(self.results_file)

    def save_results(self, results: dict[str, Any]) -> None:
        """Write what evaluation found."""
        self._write_json(self.results_file, results)

    def renew_results(self, results: dict[str, Any]) -> None:
        """Write what an evaluation found anew, or log that the folder cannot be written."""
        try:
            self.save_results(results)
        except InputError as error:
            _logger.warning("%s What was measured is not saved.", str(error).partition(" Make room")[0])

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training into this folder; the system frees it even after a kill.

        Raises:
            InputError: another process trains here.
        """
        try:
            import fcntl
        except ModuleNotFoundError as error:
            remedy = "Use Linux or macOS; on Windows, its Linux subsystem (WSL)"
            raise InputError(f"training: this system has no file locks of POSIX (fcntl). {remedy}.") from error
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self._lock_file.open("w")
        except OSError as error:
            raise cannot_write(self._lock_file, error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(f"{self.folder}: another process is training here. Wait for it or stop it.") from error
            for leftover in self._unfinished():  # of a writer that was killed
                leftover.unlink(missing_ok=True)
            yield

    def _unfinished(self) -> list[Path]:
        return list(self.folder.glob(".*.tmp"))

    def _read_json(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: missing or damaged. {self._remake(path)}") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: damaged. {self._remake(path)}")
        return content

    def _remake(self, path: Path) -> str:
        """The command that makes a damaged file of the run anew: of run.json, one that trains again elsewhere."""
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
