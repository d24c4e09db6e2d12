"""Vectors of another program, in word2vec's format, that a run takes as they are."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.words.formats import read_vectors
from tellapart.domains.words.network import WordVectors
from tellapart.domains.words.vocabulary import Vocabulary
from tellapart.errors import InputError, require_option
from tellapart.evaluation import Table
from tellapart.files import atomic_write

if TYPE_CHECKING:
    from tellapart.domains.words.options import WordOptions
    from tellapart.runs import Gallery, Run

VOCABULARY = "vocabulary.parquet"


def are_vectors(source: str) -> bool:
    """Whether a file's name is one of vectors.

    >>> are_vectors("GoogleNews.bin.gz"), are_vectors("wiki.vec"), are_vectors("text8")
    (True, True, False)
    """
    return Path(source.removesuffix(".gz")).suffix in (".bin", ".vec")


def final(options: WordOptions) -> str:
    """Why a finished run cannot be trained on; "" if it can."""
    return "its vectors are taken from a file as they are" if are_vectors(options.data) else ""


@dataclass(frozen=True, eq=False)
class Taken:
    """The vectors of a file, in its order."""

    source: str
    vocabulary: Vocabulary

    @classmethod
    def load(cls, options: WordOptions, run: Run) -> Taken:
        """Read the file into a run that has just begun; of a run that has them, its vocabulary.

        Raises:
            InputError: no such file, or a broken one; `dim` is not the length of its vectors; subwords are asked for.
        """
        file = run.corpus / VOCABULARY
        if run.is_trained():
            return cls(options.data, Vocabulary.load(file))
        started = time.perf_counter()
        require_option("init", not options.init, "be left out: the file's vectors are taken as they are", options.init)
        require_option("subwords", options.subwords == 0, "be 0: the file has vectors of words alone", options.subwords)
        words, vectors = read_vectors(Path(options.data))
        must = f"be {vectors.shape[1]}, as the vectors of {options.data} have it"
        require_option("dim", options.dim == vectors.shape[1], must, options.dim)
        if len(words) < 2:
            raise InputError(f"{options.data}: holds a single word.")
        # How often they occur is not told; most files have the most frequent word first.
        vocabulary = Vocabulary(words, np.arange(len(words), 0, -1))
        vocabulary.save(file)
        model = WordVectors(options, vocabulary)
        with torch.no_grad():
            model.inputs.copy_(torch.from_numpy(vectors))
        with atomic_write(run.log_file) as log:
            log.write((json.dumps({"step": 1, "seconds": time.perf_counter() - started}) + "\n").encode())
        run.save_weights(model)
        return cls(options.data, vocabulary)

    def gallery(self, after: WordVectors) -> Gallery:
        """All words, in the file's order."""
        return after.gallery()

    def measure(self, before: WordVectors, after: WordVectors) -> Table:  # noqa: ARG002
        """How many there are: without their text nothing is held out."""
        note = "Measure them with: tellapart evaluate RUN --data FILE, of pairs with scores, analogies or synonyms."
        rows: list[list[str | float]] = [[Path(self.source).name, len(self.vocabulary), after.options.dim]]
        return Table("Vectors as they were read", ["", "words", "length"], rows, ["", "g", "g"], [note])
