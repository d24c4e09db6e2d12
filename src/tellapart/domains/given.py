"""What a program hands in where the command line names a file: a single thing, or several in a list or a column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tellapart.errors import InputError, exists, requirement

_ENDING = re.compile(r"\.\w{1,8}$")


def items_of(given: Any) -> list[Any] | None:
    """The items of a list, a tuple, an array of texts or a column of a data frame; `None` for anything else.

    Raises:
        InputError: there are no items in it.

    >>> items_of(("a", "b")), items_of(np.array(["a", "b"])), items_of("a")
    (['a', 'b'], ['a', 'b'], None)
    """
    if isinstance(given, np.ndarray):
        is_several = given.ndim == 1 and given.dtype.kind in "UO"
    else:
        is_column = hasattr(given, "to_list") and hasattr(given, "index")  # pandas, which need not be there
        is_several = is_column or (isinstance(given, Sequence) and not isinstance(given, (str, bytes)))
    if not is_several:
        return None
    items = given.tolist() if isinstance(given, np.ndarray) else list(given)
    if not items:
        raise InputError("What is to be embedded is empty. Give at least one item.")
    return items


def as_texts(items: list[Any], what: str) -> list[str]:
    """The items, all of which must be texts that say something.

    Raises:
        InputError: an item is no text, or blank; the message names its row.

    >>> as_texts(["a", " "], "sentence")
    Traceback (most recent call last):
    tellapart.errors.InputError: Row 1: `sentence` must be a text that is not blank. Got ' '.
    """
    for row, item in enumerate(items):
        if not isinstance(item, str) or not item.strip():
            raise InputError(f"Row {row}: {requirement(what, 'be a text that is not blank', repr(item))}")
    return [item.encode("utf-8", "replace").decode() for item in items]


def is_source(given: Any) -> bool:
    """Whether it names a file, a folder or a data set.

    >>> is_source("openmoji"), is_source(Path("pictures")), is_source(["a.png"])
    (True, True, False)
    """
    return isinstance(given, (str, Path))


def refuse_text(source: str) -> None:
    """Raise `InputError` if what is to name a file or folder is a text itself: several words, without an ending.

    >>> refuse_text("sentences of today.txt")
    >>> refuse_text("a b.")
    Traceback (most recent call last):
    tellapart.errors.InputError: a b.: there is no such file. Put texts into a .txt, a line each; in Python in a list.
    """
    if " " in source.strip() and not exists(source) and not _ENDING.search(source):
        what = "there is no such file. Put texts into a .txt, a line each; in Python in a list"
        raise InputError(f"{source}: {what}.")


def refuse(given: Any, must: str) -> NoReturn:
    """Raise the `InputError` of what cannot be embedded.

    >>> refuse(3, "be a file")
    Traceback (most recent call last):
    tellapart.errors.InputError: `x` must be a file. Got int.
    """
    raise InputError(requirement("x", must, type(given).__name__))
