"""A table of figures: what `evaluate` prints, `results.json` keeps and the report shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """A title, a header, and rows of texts and numbers, with notes to read below them."""

    title: str
    header: list[str]
    rows: list[list[str | float]]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """The table as plain data, for JSON."""
        return asdict(self)

    def cells(self) -> list[list[str]]:
        """The rows as text: shares with three decimals, ranks and counts with none.

        >>> Table("", ["", "R@1", "rank"], [["trained", 0.25, 31.0]], []).cells()
        [['trained', '0.250', '31']]
        """
        return [[cell if isinstance(cell, str) else _number(cell) for cell in row] for row in self.rows]


def _number(value: float) -> str:
    if value > 1 and value == round(value):
        return f"{value:.0f}"
    return f"{value:.3f}" if value <= 1 else f"{value:.1f}"
