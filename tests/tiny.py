"""A tiny data set that can be learned: coloured shapes and what a person would call them."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "orange", "purple", "black")
SHAPES = ("circle", "square", "bar", "dot")
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


def arguments(**options: object) -> list[str]:
    """The tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (OPTIONS | options).items()]
