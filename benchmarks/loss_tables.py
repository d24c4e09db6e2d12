"""The tables and the plot of every size that `loss.py` writes."""

from __future__ import annotations

import math
import os
import platform
import statistics
from pathlib import Path

import torch

from drawing import SPOT_COLOURS, save_png
from loss_memory import KEEPING_NONE, peak
from loss_required import Short
from measuring import OURS, Result, measure
from pages import publish
from works import WORKS

SIZES, WIDTHS = (64, 256, 1024, 4096, 8192, 16384), (64, 128, 512)
BUDGET, SMALL_BUDGET = 4.0, 1.0
RESULTS = Path(__file__).parent / "results"


def everything() -> None:
    """Measure every size, and write the tables and the plot."""
    RESULTS.mkdir(exist_ok=True)
    publish("loss_short", Short().run())
    results = []
    for work in WORKS:
        for n in SIZES:
            for d in WIDTHS:
                results.append(measure(work, n, d, BUDGET if n >= 4096 else SMALL_BUDGET, errors=True))
                print(line(results[-1]), flush=True)
    rows = "\n".join(line(result) for result in results)
    heading = (
        "| work | N × d | tellapart: min, median | of the product's peak | error "
        "| others: min, median, ratio, error |\n"
        "|---|---|---|---|---|---|"
    )
    machine = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, float32, forward + backward."
    text = (
        f"{machine} Ratios are medians over interleaved rounds: how many times as long the other takes. Errors are\n"
        "of the value, relative, against float64. A missing contender does not fit the size.\n\n"
        f"{heading}\n{rows}\n\n{peaks()}\n"
    )
    (RESULTS / "loss.md").write_text(text, encoding="utf-8")
    plot(results, RESULTS / "loss.png")


def line(result: Result) -> str:
    """One row of the table."""

    def times(label: str) -> str:
        low, middle = min(result.seconds[label]), statistics.median(result.seconds[label])
        return f"{1e3 * low:.3g}, {1e3 * middle:.3g} ms"

    others = "; ".join(
        f"{label} {times(label)}, **{result.ratio(label):.2f}**, {result.errors[label]:.0e}"
        for label in result.seconds
        if label != OURS
    )
    return (
        f"| {result.work} | {result.n} × {result.d} | {times(OURS)} | {result.share:.0%} "
        f"| {result.errors[OURS]:.0e} | {others or '–'} |"
    )


def peaks() -> str:
    """Peak memory of each contender, each in its own process."""
    rows = ["| work | N × d | contender | peak beyond inputs and gradients |", "|---|---|---|---|"]
    for work, n, d in (
        ("one way", 8192, 128),
        ("symmetric", 8192, 512),
        ("NT-Xent", 4096, 128),
        ("SupCon, 10 labels", 8192, 128),
    ):
        labels = [OURS, KEEPING_NONE, *(x for x in WORKS[work].others if x != "pytorch-metric-learning")]
        rows += [f"| {work} | {n} × {d} | {label} | {peak(work, label, n, d)} MiB |" for label in labels]
    return "\n".join(rows)


def plot(results: list[Result], path: Path) -> None:
    """Draw each work's ratio to its first contender over the size, one line per width."""
    from plotly.subplots import make_subplots

    figure = make_subplots(1, len(WORKS), shared_yaxes=True, subplot_titles=list(WORKS), horizontal_spacing=0.015)
    colours = dict(zip(WIDTHS, SPOT_COLOURS, strict=True))
    for column, work in enumerate(WORKS, 1):
        plain = next(iter(WORKS[work].others))
        for d in WIDTHS:
            chosen = [r for r in results if r.work == work and r.d == d and plain in r.seconds]
            figure.add_scatter(
                x=[r.n for r in chosen],
                y=[r.ratio(plain) for r in chosen],
                name=f"d = {d}",
                mode="lines+markers",
                line_color=colours[d],
                showlegend=column == 1,
                row=1,
                col=column,
            )
        figure.update_xaxes(
            type="log",
            range=[math.log10(SIZES[0] / 1.4), math.log10(SIZES[-1] * 1.4)],
            tickvals=[64, 256, 1024, 4096, 16384],
            ticktext=["64", "256", "1k", "4k", "16k"],
            tickangle=0,
            row=1,
            col=column,
        )
    figure.update_yaxes(
        type="log", tickvals=[0.5, 1, 2, 4, 8, 16], title="times as fast as<br>the plain formula", col=1
    )
    figure.update_yaxes(type="log", tickvals=[0.5, 1, 2, 4, 8, 16])
    figure.update_layout(template="simple_white", width=1160, height=340, margin={"t": 40, "b": 60, "l": 70, "r": 10})
    figure.update_annotations(font_size=13)
    figure.add_annotation(text="examples in the batch", x=0.5, y=-0.2, xref="paper", yref="paper", showarrow=False)
    save_png(figure, path, 1160, 340)
