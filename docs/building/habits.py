"""Markdown as the pages and docstrings are written: two habits that Python-Markdown does not know.

A list may follow a line of text at once, as on GitHub, and lines after `>>>` are a doctest, not a quotation.
"""

from __future__ import annotations

import re

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

_FENCE = re.compile(r"^\s*(```|~~~)")
_ITEM = re.compile(r"^\s*([-*]|\d+\.) ")
_BEFORE_FENCES = 28  # pymdownx.superfences has 25, and blank lines are normal from 30 on


class Habits(Extension):
    """Both habits, as an extension of Python-Markdown."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name that Python-Markdown calls
        md.preprocessors.register(_Habits(md), "tellapart_habits", _BEFORE_FENCES)


class _Habits(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return separated(fenced_doctests(lines))


def fenced_doctests(lines: list[str]) -> list[str]:
    """The lines with each doctest, from `>>>` to the next blank line, in a fence.

    >>> fenced_doctests(["Text.", "", ">>> 1 + 1", "2"])
    ['Text.', '', '```pycon', '>>> 1 + 1', '2', '```']
    """
    found: list[str] = []
    inside = fenced = False
    for line in lines:
        fenced ^= bool(_FENCE.match(line))
        if not inside and not fenced and line.startswith(">>> "):
            found.append("```pycon")
            inside = True
        if inside and not line.strip():
            found.append("```")
            inside = False
        found.append(line)
    return [*found, "```"] if inside else found


def separated(lines: list[str]) -> list[str]:
    """The lines with a blank one before each list that begins right after text.

    >>> separated(["Either", "- one, or", "- two."])
    ['Either', '', '- one, or', '- two.']
    """
    found: list[str] = []
    in_list = fenced = False
    for line in lines:
        fenced ^= bool(_FENCE.match(line))
        begins = bool(_ITEM.match(line)) and not fenced
        if begins and not in_list and found and found[-1].strip():
            found.append("")
        if begins:
            in_list = True
        elif not line.strip() or not line.startswith(" "):
            in_list = False
        found.append(line)
    return found
