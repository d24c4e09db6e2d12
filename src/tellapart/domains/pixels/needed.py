"""Packages of the extra `pixels`, imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tellapart.errors import InputError


def needed(module: str) -> Any:
    """A module of the extra.

    Raises:
        InputError: it is not installed.

    >>> needed("json").dumps([1])
    '[1]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(f"the package {error.name} is missing. pip install 'tellapart[pixels]'.") from error
