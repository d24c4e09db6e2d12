"""The report's figures, as Plotly figures."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from tellapart.evaluation import Chart

    Log = list[dict[str, float]]

# The colours of Okabe and Ito, which colour-blind readers can distinguish.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#8a94a0"
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_MOST_IN_LEGEND = 30
_SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up")
_MAX_POINTS = 1500
_MAP, _LETTER = np.array([950, 560]), (7, 14)  # pixels of a map, and of a letter on it


def loss_curve(log: Log) -> go.Figure:
    """The loss and that of guessing, log(K + 1) with K negatives, above the number of candidates.

    Other losses of the log, `loss_…`, are beside it. The losses alone, of a log that does not tell the number of
    candidates.
    """
    steps, loss, size = (_column(log, name) for name in ("step", "loss", "n_candidates"))
    others = sorted({name for entry in log for name in entry if name.startswith("loss_")})
    lines = [_line(steps, loss, "loss", BLUE)] if any("loss" in entry for entry in log) else []
    lines += _held_out(log, "loss")
    lines += [
        _line(*_known(log, name), f"{name.removeprefix('loss_')} loss", colour)
        for name, colour in zip(others, itertools.cycle(_COLOURS[3:]), strict=False)
    ]
    if np.isnan(size).all():
        figure = go.Figure(lines)
        figure.update_yaxes(title_text="loss")
        figure.update_xaxes(title_text="step")
        return _styled(figure)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.74, 0.26], vertical_spacing=0.08)
    figure.add_traces(lines, rows=1, cols=1)
    figure.add_trace(_line(steps, np.log(size), "guessing, log(K + 1)", GREY, dash="dot"), row=1, col=1)
    figure.add_trace(_line(steps, size, "candidates, K + 1", ORANGE), row=2, col=1)
    figure.update_yaxes(title_text="loss (nats)", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="K + 1", range=[0, 1.25 * np.nanmax(size)], nticks=3, row=2, col=1)
    figure.update_xaxes(title_text="step", row=2, col=1)
    return _styled(figure)


def information_curve(log: Log) -> go.Figure:
    """The lower bound on mutual information and the ceiling, log(K + 1), that it cannot exceed."""
    steps, bound, size = (_column(log, name) for name in ("step", "mi_bound", "n_candidates"))
    figure = go.Figure(
        [_line(steps, bound, "bound", GREEN), _line(steps, np.log(size), "ceiling, log(K + 1)", GREY, dash="dot")]
    )
    figure.update_yaxes(title_text="mutual information (nats)")
    figure.update_xaxes(title_text="step")
    return _styled(figure)


def accuracy_curve(log: Log) -> go.Figure:
    """The accuracy of picking the positive, and that of guessing, 1/(K + 1)."""
    steps, accuracy, size = (_column(log, name) for name in ("step", "accuracy", "n_candidates"))
    guessing = _line(steps, 1 / size, "guessing, 1/(K + 1)", GREY, dash="dot")
    figure = go.Figure([_line(steps, accuracy, "in the batch", BLUE), *_held_out(log, "accuracy"), guessing])
    figure.update_yaxes(title_text="accuracy", range=[0, 1.02], tickformat=".0%")
    figure.update_xaxes(title_text="step")
    return _styled(figure)


def gradients_curve(log: Log) -> go.Figure:
    """The cosine of two losses' gradients, where the log has it, and its running mean, above the ratio of lengths."""
    steps, cosine = _known(log, "gradient_cosine")
    ratio = _known(log, "gradient_ratio")
    window = max(1, len(steps) // 20)
    mean = np.convolve(cosine, np.ones(window) / window, mode="valid")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.64, 0.36], vertical_spacing=0.08)
    figure.add_trace(_line(steps, cosine, "cosine", BLUE).update(mode="markers", marker={"size": 4}), row=1, col=1)
    figure.add_trace(_line(steps[window - 1 :], mean, "its running mean", ORANGE), row=1, col=1)
    figure.add_trace(_line(*ratio, "ratio of lengths", GREEN), row=2, col=1)
    figure.add_hline(y=0, line={"color": GREY, "width": 1, "dash": "dot"}, row=1, col=1)
    figure.update_yaxes(title_text="cosine", row=1, col=1)
    figure.update_yaxes(title_text="ratio", rangemode="tozero", nticks=3, row=2, col=1)
    figure.update_xaxes(title_text="step", row=2, col=1)
    return _styled(figure)


def lines(chart: Chart) -> go.Figure:
    """The lines of a chart."""
    pairs = zip(chart.lines.items(), itertools.cycle(_COLOURS), strict=False)
    figure = go.Figure([_line(np.array(chart.x), np.array(y), name, colour) for (name, y), colour in pairs])
    figure.update_xaxes(title_text=chart.x_title)
    figure.update_yaxes(title_text=chart.y_title, rangemode="tozero")
    return _styled(figure)


def small_curve(log: Log, name: str, limit: str | None, share: bool) -> go.Figure:
    """One reading of the panel over its steps, and its upper limit, if it has one."""
    steps, values = _known(log, name)
    mode = "lines+markers" if len(steps) < 40 else "lines"
    figure = go.Figure([_line(steps, values, name, BLUE).update(mode=mode, marker={"size": 4})])
    if limit is not None:
        figure.add_trace(_line(*_known(log, limit), "at most", GREY, dash="dot"))
    figure.update_xaxes(nticks=3)
    figure.update_yaxes(nticks=4, tickformat=".0%" if share else None, rangemode="tozero")
    return _styled(figure).update_layout(showlegend=False, margin={"l": 44, "r": 8, "t": 6, "b": 24}, font={"size": 11})


def score_histogram(positive: Float[np.ndarray, " p"], negative: Float[np.ndarray, " q"], what: str) -> go.Figure:
    """The densities of the cosines of positive pairs, if there are any, and of negative pairs."""
    edges = np.linspace(-1, 1, 51)
    figure = go.Figure()
    groups = [("negative pairs", negative, GREY), ("positive pairs", positive, BLUE)]
    for name, values, colour in groups if len(positive) else [("all pairs", negative, BLUE)]:
        density, _ = np.histogram(values, bins=edges, density=True)
        bars = go.Bar(x=(edges[1:] + edges[:-1]) / 2, y=density, name=name, marker_color=colour, opacity=0.7)
        figure.add_trace(bars)
    figure.update_layout(barmode="overlay", bargap=0)
    low = min(positive.min(initial=1.0), negative.min(initial=1.0))
    figure.update_xaxes(title_text=f"cosine of {what}", range=[low - 0.05, 1.0])
    figure.update_yaxes(title_text="density", showticklabels=False)
    return _styled(figure)


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

    Of very many labels there is no legend: pointing at an item tells its own.
    """
    if labels is None:
        return _map(places, [(what, np.full(len(places), True), BLUE, "circle")]).update_layout(showlegend=False)
    labels = [label or "no label" for label in labels]
    names = [name for name, _ in Counter(labels).most_common()]
    styles = [(colour, symbol) for symbol in _SYMBOLS for colour in _COLOURS]
    shown, rest = (names, []) if len(names) <= len(styles) else (names[: len(styles) - 1], names[len(styles) - 1 :])
    of = np.array(labels)
    groups = [(name, of == name, *style) for name, style in zip(shown, styles, strict=False)]
    if rest:
        groups.append((f"{len(rest)} other labels", np.isin(of, rest), GREY, "x-thin"))
    return _map(places, groups).update_layout(showlegend=len(names) <= _MOST_IN_LEGEND)


def word_map(places: Float[np.ndarray, "n 2"], words: list[str]) -> go.Figure:
    """A map of words: the first, and all that do not cover one of those before, are written; the others are marks."""
    written = _apart(places, words)
    figure = go.Figure()
    for mode, chosen in (("markers", ~written), ("text", written)):
        rows = np.flatnonzero(chosen).tolist()
        x, y = places[rows].T
        text = [words[row] for row in rows] if mode == "text" else None
        marker, font = {"color": BLUE, "size": 3, "opacity": 0.35}, {"size": _LETTER[1] - 3, "color": "#24303c"}
        figure.add_trace(
            go.Scatter(x=x, y=y, mode=mode, text=text, textfont=font, marker=marker, customdata=rows, hoverinfo="none")
        )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return _styled(figure).update_layout(hovermode="closest", showlegend=False)


def _apart(places: Float[np.ndarray, "n 2"], words: list[str]) -> Bool[np.ndarray, " n"]:
    """Which words can be written on a map without covering one that stands before them in the list."""
    low, high = places.min(axis=0), places.max(axis=0)
    at = (places - low) / np.maximum(high - low, 1e-9) * _MAP
    width = np.array([_LETTER[0] * (len(word) + 1) for word in words])
    kept: list[int] = []
    for i in range(len(words)):
        far = np.abs(at[kept] - at[i])
        if not ((far[:, 0] < (width[kept] + width[i]) / 2) & (far[:, 1] < _LETTER[1])).any():
            kept.append(i)
    return np.isin(np.arange(len(words)), kept)


def _map(places: Float[np.ndarray, "n 2"], groups: list[tuple[str, Any, str, str]]) -> go.Figure:
    figure = go.Figure()
    for name, chosen, colour, symbol in groups:
        marker: dict[str, Any] = {"color": colour, "symbol": symbol, "size": 8, "line": {"color": colour, "width": 1.5}}
        x, y = places[chosen].T
        rows = np.flatnonzero(chosen)
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="markers", name=name, marker=marker, customdata=rows.tolist(), hoverinfo="none")
        )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return _styled(figure).update_layout(hovermode="closest")


def _column(log: Log, name: str) -> np.ndarray:
    """One value of the log over the steps, thinned for a screen; NaN where it is missing."""
    every = max(1, -(-len(log) // _MAX_POINTS))
    return np.array([entry.get(name, np.nan) for entry in log[::every]], dtype=float)


def _known(log: Log, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps that have a value, and the values."""
    known = [entry for entry in log if name in entry]
    return _column(known, "step"), _column(known, name)


def _held_out(log: Log, name: str) -> list[go.Scatter]:
    """What was measured on held-out rows, a mark a measure, and among how many candidates; nothing without any."""
    steps, values = _known(log, f"held_out_{name}")
    if not len(steps):
        return []
    _, sizes = _known(log, "held_out_n_candidates")
    among = f", K + 1 = {sizes[-1]:.0f}" if len(sizes) else ""
    return [_line(steps, values, f"held out{among}", GREEN).update(mode="lines+markers", marker={"size": 6})]


def _line(x: np.ndarray, y: np.ndarray, name: str, colour: str, dash: str = "solid") -> go.Scatter:
    return go.Scatter(x=x, y=y, name=name, mode="lines", line={"color": colour, "width": 2, "dash": dash})


def _styled(figure: go.Figure) -> go.Figure:
    figure.update_layout(
        template="none",
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#24303c"},
        margin={"l": 58, "r": 12, "t": 8, "b": 48},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="x unified",
    )
    figure.update_xaxes(showgrid=False, linecolor="#c9d1d9", ticks="outside", tickcolor="#c9d1d9", zeroline=False)
    figure.update_yaxes(gridcolor="#edf0f3", zeroline=False)
    return figure
