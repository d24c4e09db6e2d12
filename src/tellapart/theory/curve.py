"""The result of measuring a claim: lines of plain numbers, for a page or a figure to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True)
class Line:
    """One line, or cloud of points, of a `Curve`."""

    label: str
    x: list[float]
    y: list[float]
    error: list[float] | None = None
    """The standard error of each y; `None` where it is exact."""
    kind: str = "measured"
    """"measured", "theory", or "points", which are not joined by a line."""


@dataclass(frozen=True)
class Curve:
    """A measured claim. `dataclasses.asdict` gives plain lists of finite numbers."""

    claim: str
    """The claim's name in the list of claims, such as "T3"."""
    title: str
    x: str
    """The quantity on the axis, with its unit."""
    y: str
    lines: list[Line]
    log_x: bool = False
    numbers: dict[str, float] = field(default_factory=dict)
    """Further results, by name."""


def measured(label: str, x: Sequence[float], samples: Sequence[Float[Tensor, " r"]]) -> Line:
    """The means of independent repetitions, one tensor for each x, with their standard errors.

    >>> import torch
    >>> measured("a", [1.0], [torch.tensor([1.0, 3.0])])
    Line(label='a', x=[1.0], y=[2.0], error=[1.0], kind='measured')
    """
    values = [sample.double() for sample in samples]
    errors = [float(v.std()) / math.sqrt(len(v)) if len(v) > 1 else 0.0 for v in values]
    return Line(label, [float(v) for v in x], [float(v.mean()) for v in values], errors)


def theory(label: str, x: Sequence[float], y: Sequence[float]) -> Line:
    """The values of a formula.

    >>> theory("b", [1.0], [2.0]).kind
    'theory'
    """
    return Line(label, [float(v) for v in x], [float(v) for v in y], kind="theory")
