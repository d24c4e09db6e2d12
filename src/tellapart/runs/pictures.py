"""Pictures that a run keeps for its report, each with a caption."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import NamedTuple

from tellapart.errors import InputError
from tellapart.files import atomic_write


class Picture(NamedTuple):
    """A PNG file and what it shows, in words."""

    caption: str
    png: bytes


def save_pictures(path: Path, pictures: list[Picture]) -> None:
    """Write pictures to a JSON file.

    Raises:
        InputError: the file cannot be written.
    """
    rows = [{"caption": picture.caption, "png": base64.b64encode(picture.png).decode()} for picture in pictures]
    with atomic_write(path) as file:
        file.write((json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace"))


def load_pictures(path: Path) -> list[Picture]:
    """The pictures of a file; none if there is no such file.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [Picture(row["caption"], base64.b64decode(row["png"], validate=True)) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged. Delete it to have a report without its pictures.") from error
