"""Sounds and pictures of the same events to test with, small and made up, and options of training that are as small."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from tests.tiny.pictures import COLOURS, SHAPES, draw

# Small and quick options of the audiovisual system, for `write_moments`.
SOUND_OPTIONS = {
    "picture_size": 16,
    "picture_width": 4,
    "sound_width": 4,
    "dim": 8,
    "seconds": 0.4,
    "batch_size": 40,
    "epochs": 6,
    "learning_rate": 0.01,
    "sigma": 0.5,
    "clock": "learned",
}
SOUND_WRONG = (
    ("picture_size", 4),
    ("seconds", 0.0),
    ("every", 0.1),
    ("every", -1.0),
    ("offset", float("nan")),
    ("sigma", 0.0),
    ("sigma", float("inf")),
    ("margin", 0.5),
    ("temperature", 0.0),
    ("dim", 0),
    ("sound_width", 0),
    ("picture_width", 0),
    ("picture_jitter", -0.1),
    ("noise", 1.5),
)


def tone(frequency: float, seconds: float = 0.4, rate: int = 8000) -> np.ndarray:
    """A sine with two overtones, half as loud as can be."""
    phase = 2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(phase) + 0.15 * np.sin(2 * phase) + 0.05 * np.sin(3 * phase)).astype(np.float32)


def write_moments(
    folder: Path, n: int = 160, sigma: float = 0.2, offset: float = 0.3, labelled: bool = True, missing: float = 0.1
) -> Path:
    """Tones and coloured shapes of the same events, one in a second, each of six kinds; some are not recorded."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    for kind, colour in enumerate(COLOURS):
        soundfile.write(folder / f"{colour}.wav", tone(200 * 1.4**kind), 8000)
        draw(colour, SHAPES[kind % len(SHAPES)]).save(folder / f"{colour}.png")
    random = np.random.default_rng(0)
    times, kinds = np.cumsum(random.exponential(size=n)), random.integers(len(COLOURS), size=n)
    clocks = {"sounds": ("wav", times + offset + sigma * random.normal(size=n)), "pictures": ("png", times)}
    for name, (suffix, clock) in clocks.items():
        kept = np.flatnonzero(random.random(n) >= missing)
        rows = [[f"{COLOURS[kinds[i]]}.{suffix}", repr(float(clock[i])), COLOURS[kinds[i]]] for i in kept]
        header = ["file", "time", "label"]
        write_table(folder / f"{name}.csv", [row[: 2 + labelled] for row in [header, *rows]])
    return folder


def write_table(path: Path, rows: list[list[object]]) -> None:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
