"""Micrographs to test with, small and made up, and options of training that are as small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

# Small and quick options of the system of micrographs, for `write_micrographs`.
MICROGRAPH_OPTIONS = {
    "patch": 32,
    "width": 4,
    "hidden": 32,
    "dim": 16,
    "batch_size": 24,
    "epochs": 6,
    "learning_rate": 0.01,
    "held_out": 0.34,
}
MICROGRAPH_KINDS = ("fine", "lamellar", "porous")
MICROGRAPH_WRONG = (
    ("patch", 30),
    ("patch", 8),
    ("pixel_size", -1.0),
    ("variation", -0.1),
    ("variation", float("nan")),
    ("temperature", 0.0),
    ("dim", 0),
    ("hidden", 0),
    ("width", 0),
)


def write_micrographs(folder: Path, n: int = 3, side: int = 96, kinds: tuple[str, ...] = MICROGRAPH_KINDS) -> Path:
    """A subfolder for each of three kinds of structure, with micrographs of it: 16-bit TIFFs, the last of two pages."""
    import tifffile

    from tellapart.domains.micrographs import generate

    for kind in kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for seed in range(n):
            pages = [generate(kind, side, seed + 100 * page).image for page in range(2 if seed == n - 1 else 1)]
            levels = (40_000 * np.stack(pages).clip(0, 1.5)).astype(np.uint16)
            tifffile.imwrite(folder / kind / f"{seed}.tif", levels, photometric="minisblack")
    return folder


@contextmanager
def few_patches() -> Iterator[None]:
    """Inside, few patches are measured: their clusters would take most of the time."""
    from tellapart.domains.micrographs import measure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "_OF_A_LABEL", 30)
        yield


def micrograph_arguments(**options: object) -> list[str]:
    """The system of micrographs' tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (MICROGRAPH_OPTIONS | options).items()]
