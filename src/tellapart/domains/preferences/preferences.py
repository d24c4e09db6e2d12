"""Prompts with a chosen answer and rejected ones: the common form of all sources."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.domains.held_out import divide, text_id
from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

Said = str | list[dict[str, str]]
"""A text, or messages with a role and a content each."""


@dataclass(frozen=True)
class Preference:
    """A prompt and its answers, the chosen one first; perhaps with a score for each."""

    place: str
    """File and line, for messages."""
    prompt: Said
    answers: tuple[Said, ...]
    scores: tuple[float, ...] | None = None

    def key(self) -> str:
        """The same for equal prompts, whatever their case and spacing."""
        return text_id(self.prompt if isinstance(self.prompt, str) else json.dumps(self.prompt))


@dataclass(frozen=True, eq=False)
class Preferences:
    """Prompts and their answers, row by row."""

    rows: list[Preference]
    left_out: int = 0
    """The number of rows left out, because no rejected answer differs from the chosen one."""

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, index: Int[Tensor, " k"]) -> Preferences:
        """The rows at these places, in this order."""
        return Preferences([self.rows[i] for i in index.tolist()])

    def fingerprint(self) -> str:
        """A hash of all content, to detect that data changed between two commands."""
        return fingerprint_of([[row.prompt, row.answers, row.scores] for row in self.rows])

    def split(self, held_out: float, seed: int) -> tuple[Preferences, Preferences]:
        """Rows for training and rows held out, such that no prompt is in both parts.

        Raises:
            InputError: fewer than 4 different prompts.

        >>> rows = [Preference("", prompt, ("yes", "no")) for prompt in "aabcd"]
        >>> [sorted({row.prompt for row in part.rows}) for part in Preferences(rows).split(0.4, seed=0)]
        [['b', 'd'], ['a', 'c']]
        """
        names = {key: number for number, key in enumerate(dict.fromkeys(row.key() for row in self.rows))}
        if len(names) < 4:
            what = f"{len(self)} rows with {len(names)} different prompts"
            raise InputError(f"data: {what}. At least 4 prompts are needed: 2 to train on and 2 to hold out.")
        kept, out = divide(np.array([names[row.key()] for row in self.rows]), held_out, seed)
        return self.at(kept), self.at(out)


def fingerprint_of(content: list[Any]) -> str:
    """A hash of plain data."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
