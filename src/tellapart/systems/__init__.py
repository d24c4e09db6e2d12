"""The systems: each is a module that reads as a document, and declares in its last lines what it can do.

A module ends with `system = System(...)`, which names its options, how to train it, and its abilities. Systems
do not import each other.
"""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from typing import Any

from tellapart.errors import InputError
from tellapart.systems.contract import ABILITIES, Made, Samples, System

__all__ = ["ABILITIES", "NAMES", "Made", "Samples", "System", "ability", "describe", "load"]

NAMES = (
    "clip",
    "simclr",
    "moco",
    "graph",
    "genomics",
    "bilingual",
    "word2vec",
    "dpo",
    "harmony",
    "pixels",
    "audiovisual",
    "microstructure",
    "gan",
    "attention",
    "federated",
)


def load(name: str) -> System:
    """The system of that name.

    Raises:
        InputError: there is none.

    >>> load("clip").abilities()
    ('evaluate', 'embed', 'search', 'cluster', 'export')
    """
    system: System = _module(name).system
    return system


def describe(name: str) -> str:
    """What the system of that name does, in one line.

    Raises:
        InputError: there is none.

    >>> describe("clip")
    'CLIP: pictures and texts in one space, each finding the other.'
    """
    module = _module(name)
    return (module.__doc__ or _docstring(inspect.getsource(module))).partition("\n")[0]


def ability(name: str, what: str) -> Any:
    """A function of the system of that name; of "export" one for each format, by its name.

    Raises:
        InputError: it has no such ability.

    >>> ability("clip", "sample")
    Traceback (most recent call last):
    tellapart.errors.InputError: clip cannot sample. It can evaluate, embed, search, cluster and export.
    """
    system = load(name)
    function = getattr(system, what)
    if function is None:
        *others, last = system.abilities() or ("train",)
        raise InputError(f"{name} cannot {what}. It can {', '.join(others)}{' and ' * bool(others)}{last}.")
    return function


def _module(name: str) -> Any:
    if name not in NAMES:
        raise InputError(f"system: there is no {name!r}. There are: {', '.join(NAMES)}.")
    return import_module(f"tellapart.systems.{name}")


def _docstring(source: str) -> str:
    """A module's docstring from its source, for Python drops it under -OO: from 3.14 on in `ast.parse`, too."""
    tree = compile(source, "source", "exec", ast.PyCF_ONLY_AST, optimize=0)
    assert isinstance(tree, ast.Module)
    return ast.get_docstring(tree) or ""
