"""The estimators: for each system what X is, as files and as what it embeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tellapart.domains.words import WordVectors, mean_vectors, true_word_first
from tellapart.errors import InputError
from tellapart.sklearn import files
from tellapart.sklearn.estimator import Estimator
from tellapart.sklearn.files import column


class SimCLR(Estimator, system="simclr"):
    """Pictures without texts.

    X is an array or tensor of pictures, `(n, h, w)`, `(n, h, w, c)` or `(n, c, h, w)`, uint8 or floating-point in
    [0, 1]; or a list or column of picture files, Pillow pictures or arrays. y, labels, is not learned from: `score` and
    `run_.results` are measured with it. Without y they are measured by retrieval.
    """

    def _write(self, X: Any, y: Any, folder: Path) -> str:  # noqa: N803
        return files.write_pictures(column(X), y, folder)

    def _vectors(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: N803
        return np.asarray(self.run_.embed(files.as_items(column(X))))


class CLIP(Estimator, system="clip"):
    """Pictures with their texts.

    For `fit` and `score` X is pairs, as a data frame or an array of objects with two columns, or a list of pairs; or X
    is pictures, as for `SimCLR`, and y their texts. `transform` takes pictures or texts, or pairs, of which it embeds
    the pictures.
    """

    def _write(self, X: Any, y: Any, folder: Path) -> str:  # noqa: N803
        return files.write_captioned(*files.pairs(X, y, "a picture and its text"), folder)

    def _vectors(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: N803
        return np.asarray(self.run_.embed(files.as_items(files.first_of_pairs(X))))


class Bilingual(Estimator, system="bilingual"):
    """Sentences and their translations.

    For `fit` and `score` X is pairs, as for `CLIP`; or X is sentences and y their translations. `transform` takes
    sentences of either language, or pairs, of which it embeds the first.
    """

    def _write(self, X: Any, y: Any, folder: Path) -> str:  # noqa: N803
        return files.write_translations(*files.pairs(X, y, "a sentence and its translation"), folder)

    def _vectors(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: N803
        return np.asarray(self.run_.embed(files.as_items(files.first_of_pairs(X))))


class Genomics(Estimator, system="genomics"):
    """DNA.

    X is the letters of sequences, in a list, an array or a column. y, labels, is not learned from: `score` and
    `run_.results` are measured with it. Without y they are measured by retrieval.
    """

    def _write(self, X: Any, y: Any, folder: Path) -> str:  # noqa: N803
        return files.write_sequences(files.texts(column(X), "sequence"), y, folder)

    def _vectors(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: N803
        return np.asarray(self.run_.embed(files.texts(column(X), "sequence")))


class Word2Vec(Estimator, system="word2vec"):
    """Words of texts.

    X is texts, in a list, an array or a column. The vector of a text is the mean of its words', at length 1; zero if it
    has no word of the vocabulary. `score` is how often the true word of a window is told from a drawn one.
    """

    def _write(self, X: Any, y: Any, folder: Path) -> str:  # noqa: ARG002, N803
        return files.write_texts(files.texts(column(X), "text"), folder)

    def _vectors(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: N803
        return mean_vectors(self._words(), files.texts(column(X), "text"))

    def _words(self) -> WordVectors:
        model = self.run_.model
        assert isinstance(model, WordVectors)
        return model

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002, N803
        """How often the true word of a window is told from a drawn one, in the texts X.

        Raises:
            NotFittedError: before `fit`.
            InputError: fewer than two words of X are in the vocabulary.
        """
        if isinstance(X, (str, Path)):
            raise InputError("`X` must be texts in a list or a column. Got the name of a file.")
        return true_word_first(self._words(), files.texts(column(X), "text"))
