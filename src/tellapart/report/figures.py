"""The report's figures, as Plotly figures. The page writes their legends beside them, and their titles above."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from tellapart.report.colours import AXIS, BLUE, CARD, GREEN, GREY, GRID, INK, MOST, ORANGE, PINK, RED, SKY, palette

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart.evaluation import Chart

    Log = list[dict[str, float]]
    Layout = dict[str, Any]


class Below(NamedTuple):
    """What a figure shows under its curves, over the same steps."""

    trace: go.Scatter
    share: float
    """Of the height."""
    y: Layout


_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": INK}
_MARGIN = {"l": 46, "r": 12, "t": 8, "b": 44}
_LAYOUT: Layout = {
    "template": "none",
    "font": _FONT,
    "margin": _MARGIN,
    "showlegend": False,
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "hovermode": "x unified",
    "hoverlabel": {"bgcolor": CARD, "bordercolor": AXIS, "font": {"color": INK}, "namelength": -1},
}
_X: Layout = {
    "showgrid": False,
    "linecolor": AXIS,
    "ticks": "outside",
    "tickcolor": AXIS,
    "zeroline": False,
    "title": {"font": {"size": 13}},
    "spikecolor": GREY,
    "spikethickness": 1,
    "spikedash": "dot",
}
_Y: Layout = {"gridcolor": GRID, "zeroline": False, "hoverformat": ".4~g"}
_GAP = 0.08
"""Between a figure and what is below it, as a share of the height."""
_SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up")
_MAX_POINTS, _SMALL_POINTS = 1500, 300


def loss_curve(log: Log) -> go.Figure:
    """The loss and that of guessing, log(K + 1) with K negatives, above the number of candidates if that changes.

    Other losses of the log, `loss_…`, are beside it. The losses alone, of a log that does not tell the number of
    candidates.
    """
    steps, loss, size = (_column(log, name) for name in ("step", "loss", "n_candidates"))
    others = sorted({name for entry in log for name in entry if name.startswith("loss_")})
    curves = [_line(steps, loss, "loss", BLUE)] if any("loss" in entry for entry in log) else []
    curves += _held_out(log, "loss")
    curves += [
        _line(*_known(log, name), f"{name.removeprefix('loss_')} loss", colour)
        for name, colour in zip(others, (PINK, SKY, RED, *palette(MOST)), strict=False)
    ]
    sizes = np.unique(size[~np.isnan(size)])
    if sizes.size:
        curves.append(_line(steps, np.log(size), "guessing, log(K + 1)", GREY, dash="dot"))
    changing = None
    if sizes.size >= 2:
        candidates = _line(steps, size, "candidates, K + 1", ORANGE)
        changing = Below(candidates, 0.26, {"range": [0, 1.25 * sizes.max()], "nticks": 3})
    return _drawn(curves, x=_titled("step"), y={"rangemode": "tozero"}, below=changing)


def information_curve(log: Log) -> go.Figure:
    """The lower bound on mutual information and the ceiling, log(K + 1), that it cannot exceed."""
    steps, bound, size = (_column(log, name) for name in ("step", "mi_bound", "n_candidates"))
    ceiling = _line(steps, np.log(size), "ceiling, log(K + 1)", GREY, dash="dot")
    return _drawn([_line(steps, bound, "bound", GREEN), ceiling], x=_titled("step"))


def accuracy_curve(log: Log) -> go.Figure:
    """The accuracy of picking the positive, and that of guessing, 1/(K + 1)."""
    steps, accuracy, size = (_column(log, name) for name in ("step", "accuracy", "n_candidates"))
    picked = _line(steps, accuracy, "the positive scores best", BLUE)
    guessing = _line(steps, 1 / size, "guessing, 1/(K + 1)", GREY, dash="dot")
    share = {"range": [0, 1.02], "tickformat": ".0%"}
    return _drawn([picked, *_held_out(log, "accuracy"), guessing], x=_titled("step"), y=share)


def gradients_curve(log: Log) -> go.Figure:
    """The cosine of two losses' gradients, where the log has it, and its running mean, above the ratio of lengths."""
    steps, cosine = _known(log, "gradient_cosine")
    ratio = _known(log, "gradient_ratio")
    window = max(1, len(steps) // 20)
    mean = np.convolve(cosine, np.ones(window) / window, mode="valid")
    curves = [
        _line(steps, cosine, "cosine", BLUE).update(mode="markers", marker={"size": 4}),
        _line(steps[window - 1 :], mean, "its running mean", ORANGE),
    ]
    lengths = Below(_line(*ratio, "ratio of lengths", GREEN), 0.36, {"rangemode": "tozero", "nticks": 3})
    dotted = {"color": GREY, "width": 1, "dash": "dot"}
    zero = {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": 0, "y1": 0, "yref": "y", "line": dotted}
    return _drawn(curves, x=_titled("step"), below=lengths, shapes=[zero])


def lines(chart: Chart) -> go.Figure:
    """The lines of a chart; the page writes what its axes show, which may be long."""
    pairs = zip(chart.lines.items(), palette(len(chart.lines)), strict=True)
    curves = [_line(np.array(chart.x), np.array(y), name, colour) for (name, y), colour in pairs]
    return _drawn(curves, y={"rangemode": "tozero"}, margin=_MARGIN | {"b": 26})


def small_curve(log: Log, name: str, limit: str | None, share: bool) -> go.Figure:
    """One reading of the panel over its steps, and its upper limit, if it has one."""
    steps, values = _known(log, name, _SMALL_POINTS)
    mode = "lines+markers" if len(steps) < 40 else "lines"
    curves = [_line(steps, values, name, BLUE).update(mode=mode, marker={"size": 4})]
    if limit is not None:
        curves.append(_line(*_known(log, limit, _SMALL_POINTS), "at most", GREY, dash="dot"))
    y = {"nticks": 4, "tickformat": ".0%" if share else None, "rangemode": "tozero"}
    margin = {"l": 44, "r": 8, "t": 6, "b": 24}
    return _drawn(curves, x={"nticks": 3}, y=y, margin=margin, font=_FONT | {"size": 11})


def score_histogram(positive: Float[np.ndarray, " p"], negative: Float[np.ndarray, " q"], what: str) -> go.Figure:
    """The densities of the cosines of positive pairs, if there are any, and of negative pairs."""
    edges, bars = np.linspace(-1, 1, 51), []
    groups = [("negative pairs", negative, GREY), ("positive pairs", positive, BLUE)]
    for name, values, colour in groups if len(positive) else [("all pairs", negative, BLUE)]:
        density, _ = np.histogram(values, bins=edges, density=True)
        centres = (edges[1:] + edges[:-1]) / 2
        bars.append(go.Bar(x=centres, y=density, name=name, marker={"color": colour}, opacity=0.7))
    low = min(positive.min(initial=1.0), negative.min(initial=1.0))
    x = _titled(f"cosine of {what}") | {"range": [low - 0.05, 1.0]}
    y = {"showticklabels": False, "showgrid": False, "ticks": ""}
    return _drawn(bars, x=x, y=y, barmode="overlay", bargap=0)


def rank_map(places: Float[np.ndarray, "n 2"], ranks: Int[np.ndarray, " n"]) -> go.Figure:
    """A map of the items, coloured by the rank of their own text."""
    groups = [
        ("found first", ranks == 1, BLUE, "circle"),
        ("among the ten best", (ranks > 1) & (ranks <= 10), ORANGE, "square"),
    ]
    groups.append(("further down", ranks > 10, GREY, "x-thin"))
    return _map(places, groups)


def label_map(places: Float[np.ndarray, "n 2"], labels: list[str] | None, what: str) -> go.Figure:
    """A map of the items, coloured by their labels, the most frequent first; in one colour without labels.

    Each label has a colour of its own, as far as colours can be told apart; the rest are other labels.
    """
    if labels is None:
        return _map(places, [(what, np.full(len(places), True), BLUE, "circle")])
    labels = [label or "no label" for label in labels]
    names = [name for name, _ in Counter(labels).most_common()]
    shown, rest = (names, []) if len(names) <= MOST else (names[: MOST - 1], names[MOST - 1 :])
    of = np.array(labels)
    styles = zip(shown, palette(len(shown)), itertools.cycle(_SYMBOLS), strict=False)
    groups = [(name, of == name, colour, symbol) for name, colour, symbol in styles]
    if rest:
        groups.append((f"{len(rest)} other labels", np.isin(of, rest), GREY, "x-thin"))
    return _map(places, groups)


def word_map(places: Float[np.ndarray, "n 2"]) -> go.Figure:
    """A map of words as marks; the page writes the words that have room where it is shown."""
    figure = _map(places, [("words", np.full(len(places), True), BLUE, "circle")])
    font = {"size": 11, "color": INK}
    return figure.update_traces(mode="markers+text", text="", textfont=font, marker={"size": 3, "line": {"width": 0}})


def _map(places: Float[np.ndarray, "n 2"], groups: list[tuple[str, Any, str, str]]) -> go.Figure:
    points = []
    for name, chosen, colour, symbol in groups:
        marker: dict[str, Any] = {"color": colour, "symbol": symbol, "size": 7, "line": {"color": colour, "width": 1.5}}
        x, y = places[chosen].round(3).T.tolist()
        rows = np.flatnonzero(chosen).tolist()
        points.append(go.Scatter(x=x, y=y, mode="markers", name=name, marker=marker, customdata=rows, hoverinfo="none"))
    margin, unseen = {"l": 12, "r": 12, "t": 8, "b": 8}, {"visible": False}
    return _drawn(points, x=unseen, y=unseen, hovermode="closest", margin=margin)


def _titled(text: str) -> Layout:
    return {"title": _X["title"] | {"text": text}}


def _column(log: Log, name: str, most: int = _MAX_POINTS) -> np.ndarray:
    """One value of the log over the steps, thinned for a screen; NaN where it is missing."""
    every = max(1, -(-len(log) // most))
    return np.array([entry.get(name, np.nan) for entry in log[::every]], dtype=float)


def _known(log: Log, name: str, most: int = _MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """The steps that have a value, and the values."""
    known = [entry for entry in log if name in entry]
    return _column(known, "step", most), _column(known, name, most)


def _held_out(log: Log, name: str) -> list[go.Scatter]:
    """What was measured on held-out rows, a mark a measure, and among how many candidates; nothing without any."""
    steps, values = _known(log, f"held_out_{name}")
    if not len(steps):
        return []
    _, sizes = _known(log, "held_out_n_candidates")
    among = f", K + 1 = {sizes[-1]:.0f}" if len(sizes) else ""
    return [_line(steps, values, f"held out{among}", GREEN).update(mode="lines+markers", marker={"size": 6})]


def _line(x: np.ndarray, y: np.ndarray, name: str, colour: str, dash: str = "solid") -> go.Scatter:
    # In single precision, since a page holds all the bytes.
    x, y = x.astype(np.float32), y.astype(np.float32)
    return go.Scatter(x=x, y=y, name=name, mode="lines", line={"color": colour, "width": 2, "dash": dash})


def _drawn(
    traces: list[Any], *, x: Layout | None = None, y: Layout | None = None, below: Below | None = None, **changes: Any
) -> go.Figure:
    """A figure as all are styled; `x` and `y` say what its axes have of their own, and `below` what is under it.

    Its layout is given whole: Plotly takes ten times as long to change one.
    """
    axes: Layout = {"xaxis": _X | (x or {}), "yaxis": _Y | (y or {})}
    if below is None:
        return go.Figure(traces, _LAYOUT | axes | changes)
    height = below.share * (1 - _GAP)
    upper, lower = {"domain": [height + _GAP, 1.0], "anchor": "x"}, {"domain": [0.0, height], "anchor": "x2"}
    shared = {"domain": [0.0, 1.0], "anchor": "y", "matches": "x2", "showticklabels": False}
    axes = {"xaxis": _X | shared, "yaxis": axes["yaxis"] | upper}
    axes |= {"xaxis2": _X | {"domain": [0.0, 1.0], "anchor": "y2"} | (x or {}), "yaxis2": _Y | lower | below.y}
    return go.Figure([*traces, below.trace.update(xaxis="x2", yaxis="y2")], _LAYOUT | axes | changes)
