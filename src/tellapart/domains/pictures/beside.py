"""Pictures with their texts in files beside them: `crow.jpg` and `crow.txt`, in a folder without a table."""

from __future__ import annotations

from pathlib import Path

from tellapart import reading
from tellapart.domains.folders import files_in
from tellapart.domains.picture_files import is_picture
from tellapart.domains.tables import Table
from tellapart.errors import InputError

ENDING = ".txt"


def texts_beside(folder: Path) -> Table | None:
    """The pictures of a folder, at any depth, with the texts beside them, in the columns `image` and `text`.

    A picture without a text and a text without a picture are counted as left out; a blank text, or one that is not
    UTF-8, is a broken item.

    Returns:
        `None` if no picture has a text beside it.

    Raises:
        InputError: all texts are broken.
    """
    with reading.accounted() as account:
        found = files_in(folder, lambda file: is_picture(file) or file.suffix.lower() == ENDING, "pictures or texts")
    pictures = [file for file in found if file.suffix.lower() != ENDING]
    texts = {file.with_suffix(""): file for file in found if file.suffix.lower() == ENDING}
    paired = [picture for picture in pictures if picture.with_suffix("") in texts]
    if not paired:
        return None
    reading.enter(account)
    _pass_over("picture without a text beside it", set(pictures) - set(paired), folder)
    used = {picture.with_suffix("") for picture in paired}
    _pass_over("text without a picture beside it", {file for stem, file in texts.items() if stem not in used}, folder)
    places, images, captions = list[str](), list[str](), list[str]()
    for picture in paired:
        if (text := _text(texts[picture.with_suffix("")])) is not None:
            images.append(str(picture.relative_to(folder)))
            captions.append(text)
            places.append(str(picture))
    if not places:
        raise reading.first_broken() or InputError(f"{folder}: all texts beside the pictures are broken.")
    return Table({"image": images, "text": captions}, places, folder)


def _text(file: Path) -> str | None:
    """What a file says; `None` if it says nothing or is broken, which is entered as left out."""
    try:
        text = file.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        error = InputError(f"{file}: not UTF-8. Save it as UTF-8.")
        reading.leave_out("text that is not UTF-8", str(file), error)
        return None
    if not text:
        reading.leave_out("empty text", str(file), InputError(f"{file}: the text is empty. Fill it or remove it."))
    return text or None


def _pass_over(why: str, files: set[Path], folder: Path) -> None:
    reading.pass_over(why, sorted(str(file.relative_to(folder)) for file in files))
