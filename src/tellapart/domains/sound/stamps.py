"""When each file was recorded: tables of the columns file, time and, if wanted, device and label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tellapart.domains import tables
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

_COLUMNS = ("file", "time", "device", "label")
_SECONDS, _LOCAL, _ZONED = "plain seconds", "times without a time zone", "times with a time zone"
_FORMS = "seconds, or a time such as 2024-05-01T04:30:00+02:00"


@dataclass(frozen=True, eq=False)
class Stamps:
    """Files with the times of their recording, in ascending order of time. A file may occur several times."""

    files: list[Path]
    names: list[str]
    """The files as the table names them."""
    places: list[str]
    """The lines of the table, for messages."""
    times: Float[np.ndarray, " n"]
    """In seconds; of dates, since 1970."""
    form: str
    """How the times are written."""
    devices: list[str]
    """The device of each file, "" if the table has no such column."""
    labels: list[str] | None
    """What is to be seen or heard, if the table tells: for evaluation alone."""

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, index: Sequence[int] | Int[np.ndarray, " k"]) -> Stamps:
        """Those at these rows, in this order."""
        rows = [int(i) for i in index]
        return replace(
            self,
            files=[self.files[i] for i in rows],
            names=[self.names[i] for i in rows],
            places=[self.places[i] for i in rows],
            times=self.times[rows],
            devices=[self.devices[i] for i in rows],
            labels=None if self.labels is None else [self.labels[i] for i in rows],
        )


def read_stamps(path: Path) -> Stamps:
    """The files and times of a table; paths are relative to it. Rows may be in any order.

    Raises:
        InputError: a column is missing, a time cannot be read, or the times are written in several ways.
    """
    table = tables.read_table(path, _COLUMNS, required=_COLUMNS[:2], blank=("label",))
    columns, names = table.columns, table.columns["file"]
    files = table.files("file")
    return stamped(files, names, table.places, columns["time"], columns.get("device"), columns.get("label"))


def stamped(
    files: Sequence[Path],
    names: Sequence[str],
    places: Sequence[str],
    times: Sequence[str],
    devices: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
) -> Stamps:
    """Files with their times, which are read and put in order.

    Args:
        files: where they are.
        names: what they are called.
        places: for messages, what tells of each file.
        times: in seconds, or as ISO 8601 has it.
        devices: by which they were recorded; "" if there is but one.
        labels: of what they hold.

    Raises:
        InputError: a time cannot be read, or they are written in several ways.
    """
    read = [_time(cell, place) for cell, place in zip(times, places, strict=True)]
    form = read[0][1]
    for (_, other), place in zip(read, places, strict=True):
        if other != form:
            raise InputError(f"{place}: has {other}, but {form} before. Write all in one way.")
    stamps = Stamps(
        files=list(files),
        names=list(names),
        places=list(places),
        times=np.array([time for time, _ in read]),
        form=form,
        devices=[""] * len(read) if devices is None else list(devices),
        labels=None if labels is None else list(labels),
    )
    return stamps.rows(np.argsort(stamps.times, kind="stable"))


def check_clocks(sounds: Stamps, pictures: Stamps, offset: float, margin: float) -> None:
    """Raise `InputError` unless sounds and pictures have times of one form that overlap.

    Args:
        sounds: their times are `offset` seconds ahead.
        pictures: their times are right.
        offset: in seconds.
        margin: how far apart the stretches of time may be, in seconds.
    """
    if sounds.form != pictures.form:
        raise InputError(
            f"data: the sounds have {sounds.form}, the pictures {pictures.form}. Write both in the same way."
        )
    heard, seen = ((min(x), max(x)) for x in (sounds.times - offset, pictures.times))
    apart = max(heard[0] - seen[1], seen[0] - heard[1])
    if apart > margin:
        hours = round((np.mean(heard) - np.mean(seen)) / 3600)
        zone = f" If time zones differ, set --offset {offset + 3600 * hours:g}." if hours else " Set --offset."
        raise InputError(
            f"data: no sound was recorded while pictures were taken. Sounds are from {_shown(heard, sounds.form)}, "
            f"pictures from {_shown(seen, pictures.form)}.{zone}"
        )


def _time(cell: str, place: str) -> tuple[float, str]:
    """A time in seconds, and how it is written."""
    try:
        seconds = float(cell)
    except ValueError:
        try:
            moment = datetime.fromisoformat(cell)
        except ValueError as error:
            raise InputError(f"{place}: the time is {cell!r}. Write {_FORMS}.") from error
        zoned = moment.tzinfo is not None
        return (moment if zoned else moment.replace(tzinfo=UTC)).timestamp(), _ZONED if zoned else _LOCAL
    if not abs(seconds) < 1e12:
        raise InputError(f"{place}: the time is {cell!r}, no finite number of seconds. Correct it.")
    return seconds, _SECONDS


def _shown(stretch: tuple[float, float], form: str) -> str:
    if form == _SECONDS:
        return f"{stretch[0]:g} to {stretch[1]:g} s"
    zone = " UTC" if form == _ZONED else ""
    first, last = (datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S") for time in stretch)
    return f"{first} to {last}{zone}"
