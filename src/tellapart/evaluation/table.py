"""The table of results that `evaluate` prints, `results.json` keeps and the report shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tellapart import _html
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

    def _repr_html_(self) -> str:
        return _html.grid(self.title, self.header, self.cells(), self.notes)

    def figures(self, of: str = "trained") -> list[tuple[str, str, float]]:
        """The first figure of a model wherever the table measures it: the group of rows, the column, the value.

        >>> rows = [["a → b", "chance", 0.1], ["", "trained", 0.5], ["b → a", "chance", 0.1], ["", "trained", 0.7]]
        >>> Table("", ["", "", "R@1"], rows, ["", "", ".3f"], []).figures()
        [('a → b', 'R@1', 0.5), ('b → a', 'R@1', 0.7)]
        """
        found, group = [], ""
        for row in self.rows:
            group = str(row[0] or group) if row[0] != of else ""
            numbers = [(name, cell) for name, cell in zip(self.header, row, strict=True) if not isinstance(cell, str)]
            if of in row[:2] and numbers:
                found.append((group, *numbers[0]))
        return found

    def cells(self) -> list[list[str]]:
        """The rows as text.

        >>> Table("", ["", "R@1", "rank"], [["trained", 0.25, 31.0]], ["", ".3f", "g"], []).cells()
        [['trained', '0.250', '31']]
        """
        return [
            [cell if isinstance(cell, str) else format(cell, how) for cell, how in zip(row, self.formats, strict=True)]
            for row in self.rows
        ]
