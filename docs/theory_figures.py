"""Draws the figures of theory.md from the library's own measurements: a few minutes of computing.

python docs/theory_figures.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tellapart.theory import Curve, Line, curves

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from drawing import save_png

IMAGES = Path(__file__).parent / "images" / "theory"
BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#8a94a0"
WIDTH, HEIGHT = 960, 380


def who_pushes(curve: Curve) -> go.Figure:
    """T3: shares against the temperature."""
    figure = make_subplots()
    for line, colour in zip(curve.lines, (BLUE, ORANGE, GREY), strict=True):
        figure.add_trace(drawn(line, colour))
    figure.update_xaxes(type="log", title="temperature τ", tickvals=[0.01, 0.1, 1, 10])
    figure.update_yaxes(title="share", tickformat=".0%")
    return figure


def margins(margin: Curve, hinge: Curve) -> go.Figure:
    """T4: the margin, and the loss beside its hinge, against the number of negatives."""
    figure = make_subplots(1, 2, horizontal_spacing=0.09)
    for column, curve, title in ((1, margin, "margin, as a score"), (2, hinge, "nats")):
        for line, colour in zip(curve.lines, (BLUE, ORANGE, GREY, GREEN), strict=True):
            legend = "legend" if column == 1 else "legend2"
            figure.add_trace(drawn(line, colour).update(legend=legend), row=1, col=column)
        figure.update_xaxes(type="log", title="negatives K", tickvals=[1, 10, 100, 1000, 10_000], col=column)
        figure.update_yaxes(title=title, col=column)
    figure.update_yaxes(range=[-0.3, 6], col=2)  # room for the legend
    return figure.update_layout(legend2={"x": 0.54, "y": 1.05, "bgcolor": "rgba(0,0,0,0)"})


def learned(found: list[Curve]) -> go.Figure:
    """T7: learned log ratios against true ones."""
    titles = [f"{curve.title.split(': ')[1]}: r = {curve.numbers['correlation']:.3f}" for curve in found]
    figure = make_subplots(1, len(found), horizontal_spacing=0.06, subplot_titles=titles)
    for column, curve in enumerate(found, 1):
        for line, colour in zip(curve.lines, (BLUE, ORANGE, GREY), strict=True):
            figure.add_trace(drawn(line, colour).update(showlegend=column == 1), row=1, col=column)
        figure.update_xaxes(title="true log ratio, nats", col=column)
    return figure.update_yaxes(title="learned", col=1)


def estimates(found: list[Curve]) -> go.Figure:
    """T8: InfoNCE's bound at every truth, and all estimates at the middle one."""
    middle = found[len(found) // 2]
    truth = named(middle, "truth").y[0]
    titles = ["InfoNCE's bound at five truths", f"four estimates of {truth:g} nats"]
    figure = make_subplots(1, 2, horizontal_spacing=0.07, subplot_titles=titles)
    for first, curve in zip([True] + [False] * len(found), found, strict=False):
        own = drawn(named(curve, "InfoNCE"), BLUE).update(showlegend=first)
        exact = drawn(named(curve, "truth"), GREY).update(showlegend=first)
        figure.add_traces([own, exact], rows=1, cols=1)
    figure.add_trace(drawn(named(middle, "ceiling"), ORANGE).update(name="ceiling, log(K + 1)"), row=1, col=1)
    for line, colour in zip(middle.lines[1:4], (GREEN, PINK, ORANGE), strict=True):
        figure.add_trace(drawn(line, colour), row=1, col=2)
    figure.add_trace(drawn(middle.lines[0], BLUE).update(showlegend=False), row=1, col=2)
    figure.add_trace(drawn(named(middle, "truth"), GREY).update(showlegend=False), row=1, col=2)
    sizes = named(middle, "truth").x
    ticks = {"tickvals": sizes, "ticktext": [f"{size:g}" for size in sizes]}
    figure.update_xaxes(type="log", title="line-up, K + 1", **ticks)
    return figure.update_yaxes(title="nats", col=1)


def read_error(curve: Curve) -> go.Figure:
    """T11: the error of reading, and its bound, against the loss."""
    figure = make_subplots()
    for line, colour in zip(curve.lines, (BLUE, ORANGE), strict=True):
        figure.add_trace(drawn(line, colour))
    figure.update_xaxes(title="loss, nats")
    return figure.update_yaxes(title="distance", rangemode="tozero")


def named(curve: Curve, label: str) -> Line:
    """The line of this name."""
    return next(line for line in curve.lines if line.label == label)


def drawn(line: Line, colour: str) -> go.Scatter:
    """A line: dotted if it is theory, with bars of three standard errors if it was measured, or points."""
    how: dict[str, Any] = {"mode": "lines", "line": {"color": colour, "width": 2}}
    if line.kind == "theory":
        how["line"] |= {"dash": "dot"}
    elif line.kind == "points":
        how = {"mode": "markers", "marker": {"color": colour, "size": 4, "opacity": 0.5}}
    elif line.error is not None:
        bars = {"array": [3 * error for error in line.error], "thickness": 1, "width": 2}
        how |= {"mode": "lines+markers", "marker": {"size": 5}, "error_y": bars}
    return go.Scatter(x=line.x, y=line.y, name=line.label, **how)


def main() -> None:
    measured = curves.full()
    of = {claim: [curve for curve in measured if curve.claim == claim] for claim in ("T3", "T4", "T7", "T8", "T11")}
    IMAGES.mkdir(parents=True, exist_ok=True)
    figures = {
        "t3": who_pushes(*of["T3"]),
        "t4": margins(*of["T4"]),
        "t7": learned(of["T7"]),
        "t8": estimates(of["T8"]),
        "t11": read_error(*of["T11"]),
    }
    for name, figure in figures.items():
        figure.update_layout(template="simple_white", font_size=14, margin={"t": 70, "b": 60, "l": 70, "r": 20})
        figure.update_layout(legend={"orientation": "h", "y": 1.1, "yanchor": "bottom", "x": 0})
        save_png(figure.update_layout(width=WIDTH, height=HEIGHT), IMAGES / f"{name}.png", WIDTH, HEIGHT)


if __name__ == "__main__":
    main()
