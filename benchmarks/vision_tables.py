"""The tables and the plot of `vision.py`, from the folders of its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from drawing import SPOT_COLOURS, save_png
from pages import RESULTS, publish
from trainings import minutes_of_steps, results, row, spread

MEASURES = ("15-NN", "linear probe")


def write(part: str, runs: Path, seeds: list[int]) -> None:
    """Write and print the table or plot of a part of the runs."""
    if part == "sizes":
        plot(runs, RESULTS / "vision.png")
        return
    table = {"systems": systems, "compared": compared}[part](runs, seeds)
    publish({"systems": "vision", "compared": "vision_compared"}[part], table)


def systems(runs: Path, seeds: list[int]) -> str:
    """All measures of the long runs."""
    from vision import LONG, OPTIONS

    first = results(runs / f"{next(iter(LONG))}-{seeds[0]}")
    header = ["", *first["header"][1:], "epochs", "minutes on one core"]
    lines = [row(header), "|---" * len(header) + "|"]
    lines += [row([name, *(f"{value:.3f}" for value in values), "", ""]) for name, *values in first["rows"][:-1]]
    for system, own in LONG.items():
        folders = [runs / f"{system}-{seed}" for seed in seeds]
        columns = zip(*(results(folder)["rows"][-1][1:] for folder in folders), strict=True)
        minutes = spread(map(minutes_of_steps, folders), ".1f")
        lines.append(row([system, *map(spread, columns), str(own["epochs"]), minutes]))
    options = ", ".join(f"{name} {value}" for name, value in (OPTIONS | {"width": own["width"]}).items())
    lines.append(f"\n{first['title']}. Seeds {', '.join(map(str, seeds))}; {options}.")
    return "\n".join(lines)


def compared(runs: Path, seeds: list[int]) -> str:
    """The effect of one change, over the same seeds, views and steps."""
    from vision import OPTIONS, SHORT, Trial
    from vision import compared as trials

    what = {
        ("simclr", "lean"): "SimCLR",
        ("simclr", "formula"): "SimCLR, lightly's formula for the loss",
        ("moco", "lean"): "symmetric MoCo",
        ("moco", "no-ids"): "symmetric MoCo, ids ignored",
    }
    lines = [row([f"{SHORT} epochs, width {OPTIONS['width']}", *MEASURES]), "|---|---|---|"]
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials(seeds):
        groups.setdefault((trial.system, trial.change), []).append(trial)
    for kind, group in groups.items():
        tables = [results(runs / trial.name) for trial in group]
        lines.append(row([what[kind], *(spread(figure(table, measure) for table in tables) for measure in MEASURES)]))
    return "\n".join(lines)


def plot(runs: Path, path: Path) -> None:
    """Accuracy against the size of the batch, and of the queue, side by side."""
    from vision import BATCHES, QUEUES

    drawn = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04)
    usual = {1: (256, "short-simclr-lean-0"), 2: (4096, "short-moco-lean-0")}
    titles = {1: "pictures in a batch (SimCLR)", 2: "keys in the queue (MoCo, 256 in a batch)"}
    for place, (kind, others) in enumerate((("batch", BATCHES), ("queue", QUEUES)), 1):
        named = sorted([*((size, f"{kind}-{size}-0") for size in others), usual[place]])
        for measure, colour, symbol in zip(MEASURES, SPOT_COLOURS, ("circle", "square"), strict=False):
            line = go.Scatter(
                x=[size for size, _ in named],
                y=[figure(results(runs / name), measure) for _, name in named],
                name=measure,
                mode="lines+markers",
                line_color=colour,
                marker={"symbol": symbol, "size": 9},
                showlegend=place == 1,
            )
            drawn.add_trace(line, row=1, col=place)
        ticks = [size for size, _ in named]
        drawn.update_xaxes(type="log", tickvals=ticks, ticktext=list(map(str, ticks)), title=titles[place], col=place)
    drawn.update_yaxes(title="accuracy on test pictures", tickformat=".0%", col=1)
    drawn.update_layout(
        template="simple_white",
        font={"size": 14},
        width=900,
        height=360,
        margin={"t": 40, "b": 60, "l": 70, "r": 20},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    save_png(drawn, path, 900, 360)


def figure(table: dict[str, Any], measure: str) -> float:
    """One figure of the trained network."""
    value: float = table["rows"][-1][table["header"].index(measure)]
    return value
