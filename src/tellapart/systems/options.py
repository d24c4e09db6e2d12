"""Options of a run: from what was asked for to the classes that hold them, checked by one grammar for all ways in."""

from __future__ import annotations

import dataclasses
import re
from argparse import ArgumentError
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import jsonargparse
from jsonargparse import ArgumentParser

from tellapart.errors import InputError, requirement
from tellapart.systems import load
from tellapart.training import TrainerOptions, TrainingOptions

# The help of an option is the docstring under its field.
jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)

_TRAINER = "trainer"
_TYPES = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}
_WRONG = re.compile(
    r"""Parser key "([\w.]+)": .*?(?:<class '(\w+)'>|typing\.Literal\[(.*?)\]).*?(?:Got|Given) value: (.*)"""
)


def add_options(parser: ArgumentParser, system: str) -> None:
    """Add the options of a system's training to a parser; those of the trainer under `trainer`."""
    parser.add_class_arguments(load(system).Config, as_group=False)
    parser.add_class_arguments(TrainerOptions, _TRAINER)


@cache  # to make one takes longer than to read with it
def _grammar(system: str) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    add_options(parser, system)
    return parser


def read_options(system: str, given: Mapping[str, Any]) -> tuple[TrainingOptions, TrainerOptions]:
    """The options of a system's training, defaults for all that is not given.

    Args:
        system: the name of a system.
        given: options by their names; those of the trainer under "trainer".

    Raises:
        InputError: there is no such system or option; an option is missing, of another type, or out of its range.

    >>> read_options("simclr", {"epoch": 3})
    Traceback (most recent call last):
    tellapart.errors.InputError: `epoch` is no option of simclr. Did you mean `epochs`?
    """
    check_names(system, given)
    try:
        read = _grammar(system).parse_object(_as_plain(given))
    except ArgumentError as error:
        raise InputError(f"{system}: {in_words(str(error))}") from error
    names = [field.name for field in dataclasses.fields(load(system).Config)]
    return load(system).Config(**{name: read[name] for name in names}), TrainerOptions(**read[_TRAINER].as_dict())


def in_words(complaint: str) -> str:
    r"""What jsonargparse says of a value of another type, as we say it; any other complaint in one line.

    >>> in_words("Parser key \"epochs\": Expected a <class 'int'>. Got value: many")
    "`epochs` must be a whole number. Got 'many'."
    """
    line = " ".join(complaint.split())
    found = _WRONG.search(line)
    if not found:
        return line
    name, kind, choices, value = found.groups()
    must = f"be one of {choices}" if choices else f"be {_TYPES.get(kind, kind)}"
    return requirement(name, must, repr(value))


def default_data(system: str) -> str:
    """The data that a system takes if none are named; "" if they must be.

    >>> default_data("clip")
    'openmoji'
    """
    default = next(field.default for field in dataclasses.fields(load(system).Config) if field.name == "data")
    return default if isinstance(default, str) else ""


def check_names(system: str, given: Mapping[str, Any]) -> None:
    """Raise `InputError` if one of the given options is none of the system, and say which is most like it."""
    known = [field.name for field in dataclasses.fields(load(system).Config)] + [_TRAINER]
    of_trainer = [field.name for field in dataclasses.fields(TrainerOptions)]
    nested = given.get(_TRAINER) or {}
    if not isinstance(nested, Mapping):
        raise InputError(f"`{_TRAINER}` must be a dictionary of options. Got {nested!r}.")
    for prefix, names, options in (("", known, given), (f"{_TRAINER}.", of_trainer, nested)):
        for name in options:
            if name not in names:
                alike = get_close_matches(str(name), names, 1, cutoff=0.5)
                remedy = f"Did you mean `{prefix}{alike[0]}`?" if alike else f"There are: {', '.join(names)}."
                raise InputError(f"`{prefix}{name}` is no option of {system}. {remedy}")


def _as_plain(given: Any) -> Any:
    """Paths as texts, and numbers of NumPy as Python's."""
    if isinstance(given, Mapping):
        return {name: _as_plain(value) for name, value in given.items() if value is not None}
    if isinstance(given, Path):
        return str(given)
    return given.item() if hasattr(given, "item") and getattr(given, "ndim", 0) == 0 else given
