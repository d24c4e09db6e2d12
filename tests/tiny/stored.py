"""Reading pictures through a store, to test with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tellapart import reading
from tellapart.domains.pictures import read_whole
from tellapart.runs import PictureRows

SIZE = 16


def read(paths: Sequence[Path | bytes], size: int = SIZE) -> tuple[PictureRows, list[int], reading.Account]:
    """What `read_whole` makes of pictures, and the account of them."""
    with reading.accounted() as account:
        pictures, kept = read_whole(paths, [""] * len(paths), size)
    return pictures, kept, account


def stores(cache: Path) -> list[Path]:
    """The folders in a cache, whole or not."""
    return [folder for folder in cache.iterdir() if folder.is_dir()]
