"""A command line that cannot be parsed: the parser's complaint in plain words, and what was probably meant."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from difflib import get_close_matches
from pathlib import Path

from tellapart.errors import exists
from tellapart.systems.options import in_words

_UNKNOWN = "unrecognized arguments: "
_MISSING = re.compile(r"the following arguments are required: ([\w., ]+)")
_CHOICE = re.compile(r"argument (?:command|system): invalid choice: '([^']*)'")


def told(complaint: str, arguments: list[str], grammar: ArgumentParser) -> str:
    """What is wrong with a command line, in one line.

    Args:
        complaint: the parser's.
        arguments: the command line.
        grammar: the parser of the whole command line.
    """
    what = complaint.rpartition(" (see ")[0] or complaint
    parser, words = _innermost(grammar, arguments)
    if what.startswith("Parser key"):
        what = in_words(what)
    elif found := _MISSING.match(what):
        what = f"missing: {', '.join(_typed(name, parser) for name in found[1].split(', '))}."
    elif what.startswith('expected "train.system"'):
        what = "train: which system is missing. `tellapart systems` lists them."
    elif found := _CHOICE.match(what):
        what = f"{what}.{_similar(found[1], _choices(grammar) if not words else _choices(parser))}"
    elif what.startswith(_UNKNOWN):
        what = f"{what}.{_meant(what.removeprefix(_UNKNOWN), arguments, parser)}"
    return f"{what.removesuffix('.')} (see {' '.join(['tellapart', *words])} --help)"


def _innermost(grammar: ArgumentParser, arguments: list[str]) -> tuple[ArgumentParser, list[str]]:
    """The parser of the command, and of `train` that of the system, with the words that lead to it."""
    words: list[str] = []
    for word in arguments[:2]:
        if word not in _choices(grammar):
            break
        grammar = _subparsers(grammar)[word]
        words.append(word)
    return grammar, words


def _subparsers(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    return next((found for x in parser._actions if (found := getattr(x, "_name_parser_map", None))), {})


def _choices(parser: ArgumentParser) -> list[str]:
    return list(_subparsers(parser))


def _typed(name: str, parser: ArgumentParser) -> str:
    """An argument as it is typed, from what the parser calls it, as "cluster.input"."""
    for action in parser._actions:
        if name == action.dest or name.endswith(f".{action.dest}"):
            return action.option_strings[0] if action.option_strings else action.dest.upper()
    return name


def _meant(unknown: str, arguments: list[str], parser: ArgumentParser) -> str:
    """What words were probably meant to be that the parser could not place."""
    place = next((i for i, word in enumerate(arguments) if f"{unknown} ".startswith(f"{word} ")), 0)
    word, before = arguments[place], arguments[max(0, place - 1)]
    options = [option for action in parser._actions for option in action.option_strings]
    if word.startswith("-"):
        return _similar(word.partition("=")[0], options)
    for end in range(len(arguments), place, -1):
        name = " ".join([before, *arguments[place:end]])
        if exists(name):
            return f" A name with spaces needs quotes: {shlex.quote(name)}."
    if "--data" in options and "--data" not in arguments and exists(word):
        return f" Did you mean --data {shlex.quote(word)}?"
    if "-o" in options and not {"-o", "--output"} & set(arguments) and Path(word).suffix:
        return f" Did you mean -o {shlex.quote(word)}?"
    return ""


def _similar(word: str, known: list[str]) -> str:
    alike = get_close_matches(word, known, 1)
    return f" Did you mean {alike[0]}?" if alike else ""
