"""What all estimators have in common: parameters from a system's options, training into a folder, vectors."""

from __future__ import annotations

import dataclasses
import inspect
import tempfile
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from tellapart import api, systems
from tellapart.sklearn.kept import Kept


class Estimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A system of tellapart as a transformer of scikit-learn.

    Args:
        run: a new folder to train into, which stays, with the data beside it (`RUN-data`); by default a temporary one,
            which goes with the estimator. In a search over parameters it must be left out.
        trainer: options of the trainer, such as `{"devices": 2}`.
        verbose: whether to tell on stderr how far training is.
        options: those of the system, as keywords.

    Of X a share `held_out` is not trained on: `run_.results` are measured with it.

    Attributes:
        run_: the run, with `search`, `results`, `log`, `report` and the rest.
    """

    system: ClassVar[str]

    def __init_subclass__(cls, system: str = "", **others: Any) -> None:
        super().__init_subclass__(**others)
        if system:
            cls.system = system
            cls.__init__ = _init(system)  # type: ignore[method-assign]

    @abstractmethod
    def _write(self, X: Any, y: Any, folder: Path) -> str:  # noqa: N803 - scikit-learn's name
        """Write what is given into a new folder as the system reads it, and name it as for --data."""

    @abstractmethod
    def _vectors(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: N803
        """A vector for each item."""

    def fit(self, X: Any, y: Any = None) -> Estimator:  # noqa: N803
        """Train on X.

        Raises:
            InputError: a parameter out of its range, X that the system is not of, or a training that diverged.
        """
        kept = Kept(self.run)
        source = self._source(X, y, kept.data)
        trainer = {"progress": bool(self.verbose)} | dict(self.trainer or {})
        api.train(self.system, run=kept.run, data=source, trainer=trainer, **self._options())
        self.kept_ = kept
        self._n_features_out = kept.width()
        return self

    def transform(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: N803
        """A vector of length 1 for each item of X.

        Raises:
            NotFittedError: before `fit`.
            InputError: something that the system cannot embed.
        """
        check_is_fitted(self)
        return self._vectors(X)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """The first figure that `tellapart evaluate` has of the trained model on X and y, a mean if it has several.

        Raises:
            NotFittedError: before `fit`.
            InputError: too few items to measure with.
        """
        check_is_fitted(self)
        with tempfile.TemporaryDirectory(prefix="tellapart-") as folder:
            table = self.run_.evaluate(self._source(X, y, Path(folder)))
        return fmean(value for *_, value in table.figures())

    @property
    def run_(self) -> api.Trained:
        """The run of the last `fit`."""
        check_is_fitted(self)
        run: api.Trained = self.kept_.trained
        return run

    def _source(self, X: Any, y: Any, folder: Path) -> str:  # noqa: N803
        if isinstance(X, (str, Path)):
            return str(X)
        folder.mkdir(parents=True, exist_ok=True)
        return self._write(X, y, folder)

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _options_of(self.system)}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # X is no table of numbers, and what it holds is checked by the system.
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = self.system == "simclr"
        tags.input_tags.string = self.system != "simclr"
        tags.no_validation = True
        return tags


def _options_of(system: str) -> dict[str, Any]:
    """A system's options but for the data, which X is, with their defaults."""
    return {field.name: field.default for field in dataclasses.fields(systems.load(system).Config)[1:]}


def _init(system: str) -> Callable[..., None]:
    """An `__init__` with the system's options as keywords, so that scikit-learn and `help` find them there."""
    parameters = {**_options_of(system), "run": None, "trainer": None, "verbose": False}
    signature = inspect.Signature(
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=it) for name, it in parameters.items()),
        ]
    )

    def __init__(self: Estimator, **given: Any) -> None:  # noqa: N807
        if unknown := sorted(set(given) - set(parameters)):
            raise TypeError(f"{type(self).__name__} has no parameter {', '.join(unknown)}.")
        for name, default in parameters.items():
            setattr(self, name, given.get(name, default))

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__
