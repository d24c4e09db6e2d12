"""Pictures with texts and without to test with, small and made up, and options of training that are as small."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "orange", "purple", "black")
SHAPES = ("circle", "square", "bar", "dot")
CAPTIONS = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
"""Of the pictures of `write_pairs`."""
# Small and quick options of the CLIP system for these pictures.
OPTIONS = {
    "picture_size": 16,
    "picture_width": 4,
    "dim": 16,
    "text_buckets": 256,
    "text_width": 16,
    "batch_size": 8,
    "epochs": 4,
    "learning_rate": 0.01,
}

# Half of the pairs are held out, and all steps together show what is learned.
CLIP_OPTIONS = OPTIONS | {"epochs": 12, "held_out": 0.5}
# Options of its own, each with a value out of its range; so for the other systems below.
CLIP_WRONG = (
    ("picture_size", 4),
    ("temperature", 0.0),
    ("text_dropout", 1.0),
    ("picture_jitter", -0.1),
    ("dim", 0),
)


def draw(colour: str, shape: str) -> Image.Image:
    """One picture, 24×24."""
    image = Image.new("RGB", (24, 24), "white")
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse((3, 3, 20, 20), fill=colour)
    elif shape == "square":
        pen.rectangle((4, 4, 19, 19), fill=colour)
    elif shape == "bar":
        pen.rectangle((2, 10, 21, 13), fill=colour)
    else:
        pen.ellipse((9, 9, 14, 14), fill=colour)
    return image


def write_pairs(folder: Path, texts: dict[str, str] | None = None) -> Path:
    """24 pictures and a table of them; `texts` replaces the texts of the files it names."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "text"])
        for colour in COLOURS:
            for shape in SHAPES:
                name = f"{colour}-{shape}.png"
                draw(colour, shape).save(folder / name)
                table.writerow([name, (texts or {}).get(name, f"{colour} {shape}")])
    return folder


SCRIPT = "<script>alert(1)</script>"


def write_scripted(folder: Path) -> Path:
    """The pictures and the table, in which texts of one colour carry a script: at least one of them is shown."""
    return write_pairs(folder, {f"red-{shape}.png": f"{SCRIPT} {shape}" for shape in SHAPES})


def arguments(**options: object) -> list[str]:
    """The tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (OPTIONS | options).items()]


# Small and quick options of the systems of pictures without texts, for `write_patterns`.
PICTURE_OPTIONS = {
    "width": 8,
    "hidden": 32,
    "dim": 16,
    "batch_size": 24,
    "epochs": 6,
    "learning_rate": 0.01,
    "held_out": 0.25,
    "crop": 0.4,
    "jitter": 0.2,
    "grey": 0.0,
}
MOCO_OPTIONS = PICTURE_OPTIONS | {"queue": 48, "momentum": 0.9}
PICTURE_WRONG = (
    ("views", 1),
    ("picture_size", 4),
    ("temperature", 0.0),
    ("dim", -1),
    ("dim", 2**14 + 1),
    ("hidden", -1),
    ("width", 0),
    ("crop", 0.0),
    ("flip", 1.5),
    ("jitter", 2.0),
    ("grey", -0.1),
    ("blur", float("nan")),
    ("chunk", 1),
    ("encoder_options", "{}"),
)
MOCO_WRONG = (
    ("momentum", 1.1),
    ("momentum", float("nan")),
    ("queue", 47),
    ("queue", 2**21),
)
FEDERATED_OPTIONS = PICTURE_OPTIONS | {
    "clients": 3,
    "bank": 48,
    "local_epochs": 1,
    "statistics": "local",
    "noise": 0.01,
}
FEDERATED_WRONG = (
    ("clients", 0),
    ("alpha", 0.0),
    ("alpha", float("nan")),
    ("classes_per_client", 0),
    ("local_epochs", 0),
    ("local_epochs", 4),
    ("bank", 2),
    ("bank", 2**21),
    ("bank_every", 0),
    ("bank_weight", -0.1),
    ("bank_weight", float("inf")),
    ("noise", -0.1),
    ("noise", float("nan")),
    ("statistics", "none"),
    ("bank_of", "pictures"),
    ("bank_alike", 0.0),
    ("bank_alike", 1.1),
    ("bank_alike", float("nan")),
    ("key_momentum", 1.0),
    ("key_momentum", -0.1),
    ("key_momentum", 0.5),  # the statistics are local
    ("crop", 0.0),
)
OPTIONS_OF = {"simclr": PICTURE_OPTIONS, "moco": MOCO_OPTIONS}
HARMONY_OPTIONS = PICTURE_OPTIONS | {"labels_per_class": 8, "labelled_batch": 16, "weight": 0.5, "rule": "pcgrad"}
HARMONY_WRONG = (
    ("weight", -0.1),
    ("weight", float("nan")),
    ("labels_per_class", 0),
    ("labelled_batch", 0),
    ("contrastive_first", 1.0),
    ("contrastive_first", -0.1),
    ("turn", 1.5),
)


def patterns(n: int = 160, channels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 4×4 patches, 16×16, and their labels: half of each is its label's pattern, half its own."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    shared = np.random.default_rng(99).random((3, 4, 4, channels))
    patches = (shared[labels] + random.random((n, 4, 4, channels))) / 2
    return (255 * patches.repeat(4, axis=1).repeat(4, axis=2)).astype(np.uint8), labels


def write_patterns(folder: Path, n: int = 160, labelled: bool = True, channels: int = 3, seed: int = 0) -> Path:
    """A file of `patterns`."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures, labels = patterns(n, channels, seed)
    np.savez(folder / "patterns.npz", images=pictures, **({"labels": labels} if labelled else {}))
    return folder / "patterns.npz"


def picture_arguments(system: str, **options: object) -> list[str]:
    """A system's tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (OPTIONS_OF[system] | options).items()]


def harmony_arguments(**options: object) -> list[str]:
    """The tiny options of harmony as words of a command line."""
    return [f"--{name}={value}" for name, value in (HARMONY_OPTIONS | options).items()]
