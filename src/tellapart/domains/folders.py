"""Folders as they lie: all files at any depth, through links; which folders are splits, and which are labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tellapart import reading
from tellapart.errors import InputError

Labels = Literal["auto", "folder", "none"]
_NAMES = {
    "train": ("train", "training", "trn"),
    "test": ("test", "testing", "tst", "eval", "evaluation"),
    "validation": ("val", "valid", "validation", "dev", "development", "holdout"),
}
_SPLITS = {name: split for split, names in _NAMES.items() for name in names}
_ENDING = re.compile(r"[\W_]*(set|data|images|split)?[\W_]*\d*$")
_LONGEST_LINK = 1024
_OF_SYSTEMS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")


def files_in(folder: Path, is_wanted: Callable[[Path], bool], wanted: str) -> list[Path]:
    """The wanted files of a folder at any depth, sorted. Links are followed, and each folder is entered once.

    Hidden files are left out. Other files that are not wanted are entered as passed over.

    Args:
        folder: where to look.
        is_wanted: whether a file is one of them.
        wanted: what they are, in the plural.
    """
    found, others = list[Path](), Counter[str]()
    broken, written, again = list[str](), list[str](), list[str]()
    seen: set[Path] = set()
    pending, links = [folder], list[Path]()
    while pending or links:
        here = pending.pop() if pending else links.pop(0)
        if (real := here.resolve()) in seen:
            again.append(str(here.relative_to(folder)))
            continue
        seen.add(real)
        for entry in sorted(here.iterdir()):
            if entry.name.startswith(".") or entry.name in _OF_SYSTEMS:
                continue
            if entry.is_dir():
                (links if entry.is_symlink() else pending).append(entry)
            elif _is_written_link(entry):
                written.append(str(entry.relative_to(folder)))
            elif not entry.is_file():
                broken.append(str(entry.relative_to(folder)))
            elif is_wanted(entry):
                found.append(entry)
            else:
                others[entry.suffix.lower() or entry.name] += 1
    for ending, n in sorted(others.items()):
        reading.pass_over(f"file that is none of the {wanted} ({ending})", [""] * n)
    reading.pass_over("link to nowhere", broken)
    reading.pass_over("link that was copied as a text with its target", written)
    reading.pass_over("folder that is reached again by a link", again)
    return sorted(found)


def _is_written_link(file: Path) -> bool:
    """Whether it is a link to a folder that was written as a text, as git does where there are no links."""
    try:
        is_short = not file.suffix and 0 < file.stat().st_size <= _LONGEST_LINK
        return is_short and (file.parent / file.read_text(encoding="utf-8").strip()).is_dir()
    except (OSError, ValueError):
        return False


def split_of(name: str) -> str | None:
    """Which split a folder of this name holds: "train", "test", "validation" or, for another name, `None`.

    >>> split_of("Training"), split_of("test_set"), split_of("valid"), split_of("cat")
    ('train', 'test', 'validation', None)
    """
    return _SPLITS.get(name.lower()) or _SPLITS.get(_ENDING.sub("", name.lower()))


def below_wrappers(places: Sequence[tuple[str, ...]]) -> int:
    """How many folders all files have in common, such as that of an unpacked archive.

    >>> below_wrappers([("data", "GCF_1", "x.fna"), ("data", "GCF_2", "x.fna")])
    1
    """
    depth, least = 0, min(map(len, places), default=1) - 1
    while depth < least and len({place[depth] for place in places}) == 1:
        depth += 1
    return depth


class Layout(NamedTuple):
    """How the files of a folder are divided."""

    parts: dict[str, list[Path]]
    """The files of each split, by "train", "test" and "validation"; all under "train" if there are no splits."""
    labels: dict[Path, str] | None
    """The label of each file: the first folder that is not common to all; `None` if there are no such folders."""
    without: str = ""
    """Why there are no labels though there are folders, in words."""


def layout(folder: Path, files: Sequence[Path], labels: Labels = "auto") -> Layout:
    """Splits and labels, by the names of folders. Folders that all files have in common are stripped first.

    Args:
        folder: where the files are.
        files: all of them.
        labels: "auto" takes folders called like splits as splits, and others as labels; with "folder" the first are
            labels, too; with "none" there are neither labels nor splits.

    Raises:
        InputError: folders called like splits lie beside others, or two are called like the same split.
    """
    places = {file: file.relative_to(folder).parts for file in files}
    depth = below_wrappers(list(places.values()))
    places = {file: place[depth:] for file, place in places.items()}
    if labels == "none":
        return Layout({"train": list(files)}, None)
    if labels == "auto":
        _check_empty_splits(folder, files, depth)
    parts = _splits(folder, places) if labels == "auto" else None
    if parts is None:
        return Layout({"train": list(files)}, *_labels(places))
    inside = {file: place[1:] for file, place in places.items()}
    depth = below_wrappers(list(inside.values()))
    return Layout(parts, *_labels({file: place[depth:] for file, place in inside.items()}))


def _check_empty_splits(folder: Path, files: Sequence[Path], depth: int) -> None:
    """Raise `InputError` if a folder called like a split has none of the files, and others beside it have."""
    common = files[0].relative_to(folder).parts[:depth] if files else ()
    for level in range(depth + 1):
        here = folder.joinpath(*common[:level])
        full = {file.relative_to(here).parts[0] for file in files}
        named = {entry.name: split_of(entry.name) for entry in here.iterdir() if entry.is_dir()}
        if "train" in named.values() and {"test", "validation"} & set(named.values()):
            for name in sorted(name for name, split in named.items() if split and name not in full):
                raise InputError(f"{here / name}: the folder holds no pictures. Fill it or remove it.")


def _splits(folder: Path, places: dict[Path, tuple[str, ...]]) -> dict[str, list[Path]] | None:
    names = sorted({place[0] for place in places.values() if len(place) > 1})
    of = {name: split_of(name) for name in names}
    if "train" not in of.values() or not {"test", "validation"} & set(of.values()):
        return None
    loose = any(len(place) == 1 for place in places.values())
    doubled = max(Counter(split for split in of.values() if split).values()) > 1
    if None in of.values() or doubled or loose:
        listed = ", ".join([*names[:6], *(["…"] if len(names) > 6 else []), *(["files beside them"] if loose else [])])
        what = f"some folders are called like splits, others not, or two like the same one ({listed})"
        remedy = "Move them apart, or say what they are: --labels folder (each is a label) or --labels none"
        raise InputError(f"{folder}: {what}. {remedy}.")
    parts: dict[str, list[Path]] = {}
    for file, place in places.items():
        parts.setdefault(str(of[place[0]]), []).append(file)
    return parts


def _labels(places: dict[Path, tuple[str, ...]]) -> tuple[dict[Path, str] | None, str]:
    """The label of each file, and why there are none."""
    loose = sum(len(place) == 1 for place in places.values())
    if loose == 0:
        return {file: place[0] for file, place in places.items()}, ""
    if loose == len(places):
        return None, ""
    return None, f"No labels: {loose} of {len(places)} files lie beside the folders that would be labels."
