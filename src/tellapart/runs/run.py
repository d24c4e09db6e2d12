"""The run folder: everything about one training, readable without this program and safe from a kill.

run.json            system, version, fingerprint of the data, what shape they are of, what was read of them, and by
                    which schedules the run is trained
left_out.tsv        what was left out of the data, and why, if anything was
config.yaml         the resolved options; `tellapart train SYSTEM --config` takes it as it is
log.jsonl           one line per step
checkpoint.ckpt     weights, optimizer and progress, to resume from; removed when training is complete
tokenizer.json      of a transformer: how sentences become tokens
pretraining/        of a model that learns in two stages: log, checkpoint and weights of the first
reference/          the model that the second stage begins with, as transformers writes it
reference.safetensors  what that model says of the training data
start.safetensors   the weights that training begins with: of another run, or of this one before it is trained on
start_vocabulary.parquet  of words: those of the other run, in the order of its weights
weights.safetensors the trained weights, once training is complete
results.json        what evaluation found
corpus              of words: the vocabulary, and the text as ids
pictures.json       pictures of what was found, for the report
gallery.parquet     embeddings of all data, for search and report
gallery.index.npz   of many embeddings: the index that search has made of them
report.html         the page to look at
"""

from __future__ import annotations

import json
import logging
import shlex
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from tellapart import reading
from tellapart.errors import InputError
from tellapart.files import atomic_write
from tellapart.runs.folder import RunFolder
from tellapart.runs.ranks import is_first_process
from tellapart.runs.weights import load_weights, write_weights
from tellapart.version import __version__

_logger = logging.getLogger("tellapart")


class Run(RunFolder):
    """A folder that holds one training."""

    def check_free(self) -> None:
        """Raise `InputError` unless a run may begin here: in a new, an empty or an unbegun run's folder.

        What a training leaves that a mistake stopped before its first step may be written over.
        """
        if self.has_begun():
            again = "Continue it with --resume (in Python: resume=True)"
            raise InputError(f"{self.folder}: holds a run already. {again}, or choose another --run.")
        ours = {self.config_file, self.tokeniser, self.pretraining, self.reference_scores, self._info_file}
        ours |= {self.left_out, self.corpus, self.corpus.with_suffix(".partial"), self._lock_file, *self._unfinished()}
        ours |= {self.start, self.start_vocabulary, self.reference} if self.exists() else set()
        if self.folder.exists() and (not self.folder.is_dir() or set(self.folder.iterdir()) - ours):
            raise InputError(f"{self.folder}: exists and is not an empty folder. Choose another --run.")

    def begin(self, system: str, options: dict[str, Any]) -> None:
        """Write what the run is to be, and drop what an attempt left that a mistake stopped.

        Raises:
            InputError: a file cannot be written.
        """
        for file in (self.start, self.start_vocabulary, self.tokeniser, self.reference_scores, self.left_out):
            file.unlink(missing_ok=True)
        for folder in (self.corpus, self.reference):
            shutil.rmtree(folder, ignore_errors=True)
        self.write_options(system, options)
        self._write_json(self._info_file, {"system": system, "version": __version__})

    def write_options(self, system: str, options: dict[str, Any]) -> None:
        """Write the resolved options.

        Raises:
            InputError: the file cannot be written.
        """
        again = f"tellapart train {system} --config THIS_FILE --run FOLDER"
        content = f"# tellapart {__version__}; to run it again: {again}\n"
        content += yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
        with atomic_write(self.config_file) as file:
            file.write(content.encode())

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

    def check_data(self, fingerprint: str, what: str = "data", can_begin: bool = True) -> None:
        """Note the data's fingerprint at first sight, under what they are; later, refuse data that changed since.

        Of processes that train together the first alone does: others may be here before it has made the folder.

        Args:
            fingerprint: of the data.
            what: the name of the data.
            can_begin: whether another run can begin with the weights of this one.

        Raises:
            InputError: the data is not what the run was started with.
        """
        if not is_first_process():
            return
        info, account = self.facts(), reading.current()
        if info.get(what, fingerprint) != fingerprint:
            with_weights = can_begin and (self.weights.is_file() or self.checkpoint.is_file())
            remedy = f"Restore it, or train a new run{' from its weights' * with_weights}: {self.anew(with_weights)}"
            raise InputError(f"{self.folder}: the {what} changed since the run began. {remedy}")
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
        known = self.facts().get("reading")
        return str(known.get("told", "")) if isinstance(known, dict) else ""

    def is_trained(self) -> bool:
        """Whether training is complete, and no more is planned."""
        return self.weights.is_file() and self.plan is None

    def save_weights(self, model: nn.Module) -> None:
        """Write the trained weights, which makes the run complete."""
        write_weights(self.weights, model.state_dict())

    def load_weights(self, model: nn.Module) -> None:
        """Read the trained weights into `model`.

        Raises:
            InputError: training is not complete, or the file is damaged or of another model.
        """
        self.check_trained()
        load_weights(self.weights, model)
        model.eval()

    def open_again(self) -> None:
        """Make the trained weights those that training begins with; what was made of them is removed."""
        for file in (self.checkpoint, self.results_file, self.gallery, self.pictures, self.report):
            file.unlink(missing_ok=True)
        self.weights.replace(self.start)

    def check_trained(self) -> None:
        """Raise `InputError` unless training is complete."""
        if not self.is_trained():
            raise InputError(f"{self.folder}: not trained to its end. Continue it with: {self.again()}")

    def anew(self, with_weights: bool) -> str:
        """The command that trains a new run with the same options, perhaps from this run's weights."""
        config, run = (str(path.resolve()) for path in (self.config_file, self.folder))
        names = (f"{run}-{number}" for number in count(2))
        free = next(name for name in names if not Path(name).exists())
        init = ["--init", run] if with_weights else []
        return shlex.join(["tellapart", "train", self.system, "--config", config, *init, "--run", free])

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
