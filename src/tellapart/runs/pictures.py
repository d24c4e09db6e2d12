"""Pictures of what a run found, kept with it for its report."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tellapart.errors import InputError
from tellapart.files import atomic_write


@dataclass(frozen=True)
class Picture:
    """A picture with what it shows, in words."""

    caption: str
    png: str
    """A PNG file in base64."""

    @classmethod
    def of(cls, caption: str, png: bytes) -> Picture:
        """The picture of a PNG file.

        >>> Picture.of("A dot.", b"dot").png
        'ZG90'
        """
        return cls(caption, base64.b64encode(png).decode())


def save_pictures(path: Path, pictures: list[Picture]) -> None:
    """Write pictures into a file of a run.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write((json.dumps([asdict(picture) for picture in pictures], ensure_ascii=False) + "\n").encode())


def load_pictures(path: Path) -> list[Picture]:
    """The pictures of a run, none if there is no such file.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        return [Picture(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged. Delete it, or train again into a new folder.") from error
