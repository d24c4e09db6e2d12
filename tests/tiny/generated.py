"""Data of a generator to test with, and options of training that are as small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Of a mixture: 20 steps.
POINT_OPTIONS = {
    "batch_size": 5000,
    "epochs": 1,
    "width": 16,
    "latent": 4,
    "negatives": 2,
    "penalty_end": 0.01,
    "penalty_every": 2,
}
# Of the pictures of `pictures.write_patterns`: 30 steps.
SHADE_OPTIONS = {"batch_size": 24, "epochs": 6, "width": 4, "latent": 8, "held_out": 0.25, "negatives": 0}
GENERATED_WRONG = (
    ("negatives", -1),
    ("penalty", -0.1),
    ("penalty", float("nan")),
    ("penalty_end", float("inf")),
    ("penalty_every", 0),
    ("temperature", 0.0),
    ("latent", -1),
    ("width", -1),
    ("average", 1.0),
    ("picture_size", 4),
)


def name_of_mixture(_: Path) -> Path:
    """The grid, which has no file."""
    return Path("grid-25")


@contextmanager
def few_samples() -> Iterator[None]:
    """Inside, the density of generated points is told from few of them: it would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tellapart.domains.generated.points._DENSE", 2000)
        yield


@contextmanager
def short_judge() -> Iterator[None]:
    """Inside, a judge of pictures learns for a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tellapart.domains.pictures.judge._STEPS", 4)
        yield
