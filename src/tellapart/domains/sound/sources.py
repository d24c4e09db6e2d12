"""Where the times of sounds and pictures stand: in tables, names of AudioMoth's files, EXIF or Camtrap-DP."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tellapart.domains import tables
from tellapart.domains.folders import files_in
from tellapart.domains.sound.recordings import SUFFIXES
from tellapart.domains.sound.stamps import Stamps, read_stamps, stamped
from tellapart.errors import InputError

MEDIA = "media.csv"
_MEDIA_COLUMNS = ("filePath", "timestamp", "fileMediatype", "deploymentID")
# AudioMoth: a prefix if it was asked for, date and time, milliseconds if asked for, T if a trigger began it.
_AUDIOMOTH = re.compile(r"(?:(?P<device>.+)_)?(?P<date>\d{8})_(?P<time>\d{6})(?:_(?P<milli>\d{3}))?T?")
_EXIF, _TAKEN, _ZONE, _FRACTION = 0x8769, 0x9003, 0x9011, 0x9291


def find_stamps(folder: Path, picture_suffixes: frozenset[str]) -> tuple[Stamps, Stamps]:
    """The sounds and the pictures of a folder, with their times.

    Of each kind, the first of these that there is: the table `sounds.csv` or `pictures.csv`; the Camtrap-DP table
    `media.csv`, where the media type tells which kind a row is; the folder `sounds`, with times in the
    names of the files as AudioMoth writes them, or the folder `pictures`, with times in EXIF.

    Raises:
        InputError: there is none of them, or a time is missing or broken.
    """
    return (
        _of_kind(folder, "sounds", "audio/", SUFFIXES, _named),
        _of_kind(folder, "pictures", "image/", picture_suffixes, _taken),
    )


def _of_kind(
    folder: Path, kind: str, media_type: str, suffixes: frozenset[str], time_of: Callable[[Path], tuple[str, str]]
) -> Stamps:
    table, media, files = folder / f"{kind}.csv", folder / MEDIA, folder / kind
    if table.is_file():
        return read_stamps(table)
    if media.is_file():
        return _of_media(media, kind, media_type)
    if files.is_dir():
        found = files_in(files, lambda path: path.suffix.lower() in suffixes, kind)
        if not found:
            raise InputError(f"{files}: the folder holds no {kind}.")
        times, devices = zip(*(time_of(path) for path in found), strict=True)
        return stamped(
            found, [str(path.relative_to(folder)) for path in found], [str(p) for p in found], times, devices
        )
    raise InputError(f"{folder}: holds neither {table.name} nor {MEDIA} nor a folder {kind}. Put one in.")


def _of_media(path: Path, kind: str, media_type: str) -> Stamps:
    """The rows of one media type, by the times and the deployments that Camtrap-DP has for them."""
    table = tables.read_table(path, _MEDIA_COLUMNS, required=_MEDIA_COLUMNS[:3])
    rows = [i for i, found in enumerate(table.columns["fileMediatype"]) if found.startswith(media_type)]
    if not rows:
        raise InputError(f"{path}: holds no {kind}: no fileMediatype begins with {media_type}.")
    columns = {name: [column[i] for i in rows] for name, column in table.columns.items()}
    names, files = columns["filePath"], table.files("filePath")
    places = [table.places[i] for i in rows]
    return stamped([files[i] for i in rows], names, places, columns["timestamp"], columns.get("deploymentID"))


def _named(path: Path) -> tuple[str, str]:
    """Time and recorder from a name such as 24F31906_20240501_043000.WAV."""
    found = _AUDIOMOTH.fullmatch(path.stem)
    if found is None:
        form = "DATE_TIME, as in 20240501_043000.WAV. Rename it, or write a table sounds.csv"
        raise InputError(f"{path}: the name does not tell the time. AudioMoth's do by {form}.")
    milli = f".{found['milli']}" if found["milli"] else ""
    return f"{found['date']}T{found['time']}{milli}", found["device"] or ""


def _taken(path: Path) -> tuple[str, str]:
    """The time at which a picture was taken, by EXIF; without a device, for cameras share a clock."""
    try:
        with Image.open(path) as image:
            told = image.getexif().get_ifd(_EXIF)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: not a picture that can be read. Restore the file or leave it out.") from error
    taken = str(told.get(_TAKEN, "")).strip("\0 ")
    if not taken:
        raise InputError(f"{path}: EXIF does not tell when it was taken. Write a table pictures.csv.")
    date, _, time = taken.partition(" ")
    fraction = str(told.get(_FRACTION, "")).strip("\0 ")
    zone = str(told.get(_ZONE, "")).strip("\0 ")
    return f"{date.replace(':', '-')}T{time}{'.' + fraction[:6] if fraction else ''}{zone}", ""
