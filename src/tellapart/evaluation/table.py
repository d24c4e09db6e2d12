"""The table of results that `evaluate` prints, `results.json` keeps and the report shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tellapart.errors import InputError


@dataclass(frozen=True)
class Chart:
    """Lines over one axis, which the report draws below the table."""

    title: str
    x_title: str
    y_title: str
    x: list[float]
    lines: dict[str, list[float]]
    """By the name of each line, its values at all x."""


@dataclass(frozen=True)
class Table:
    """A title, a header, rows of texts and numbers, and notes below them.

    `formats` has a Python format for each column's numbers.
    """

    title: str
    header: list[str]
    rows: list[list[str | float]]
    formats: list[str]
    notes: list[str]
    charts: list[Chart] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The table as plain data, for JSON."""
        plain = asdict(self)
        return plain if self.charts else {name: value for name, value in plain.items() if name != "charts"}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Table:
        """The table that `as_dict` gave.

        Raises:
            InputError: the data is not a table.
        """
        try:
            charts = [Chart(**chart) for chart in data.get("charts", [])]
            return cls(**data | {"charts": charts})
        except TypeError as error:
            raise InputError("results.json: damaged. Make it anew with tellapart evaluate.") from error

    def cells(self) -> list[list[str]]:
        """The rows as text.

        >>> Table("", ["", "R@1", "rank"], [["trained", 0.25, 31.0]], ["", ".3f", "g"], []).cells()
        [['trained', '0.250', '31']]
        """
        return [
            [cell if isinstance(cell, str) else format(cell, how) for cell, how in zip(row, self.formats, strict=True)]
            for row in self.rows
        ]
