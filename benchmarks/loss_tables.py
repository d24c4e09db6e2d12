"""The tables and the plot of `loss.py`."""

from __future__ import annotations

import os
import platform
import statistics
from pathlib import Path

import torch

from drawing import SPOT_COLOURS, save_png
from loss import KEEPING_NONE, RESULTS, UNIT_VECTORS, WORKS, Result, alone, measure, peak

REQUIRED = [
    ("NT-Xent", 4096, 128, "lightly's formula", 8.0),
    ("NT-Xent", 4096, 128, "F.cross_entropy, masked", 4.0),
    ("symmetric", 8192, 128, "open_clip's formula", 3.2),
    ("symmetric", 8192, 512, "open_clip's formula", 2.3),
    ("symmetric", 16384, 512, "open_clip's formula", 2.8),
    ("one way", 8192, 128, "F.cross_entropy", 2.3),
    ("SupCon, 10 labels", 8192, 128, "materialised mask", 4.0),
]
SMALL = [
    (work, n, d)
    for work in ("one way", "symmetric", "NT-Xent", "SupCon, 10 labels")
    for n in (64, 256, 1000)
    for d in (64, 128, 512)
]
SIZES, WIDTHS = (64, 256, 1024, 4096, 8192, 16384), (64, 128, 512)
BUDGET = 10.0


def required() -> str:
    """Print the lines that have to hold, each with what it has to be; the first of them as a table."""
    print("\nforward + backward, float32: how many times as long the other takes (median of rounds; of minima)")
    done: dict[tuple[str, int, int], Result] = {}
    rows = ["| forward + backward | against | times as fast (median) | tellapart (fastest) |", "|---|---|---|---|"]
    for work, n, d, other, least in REQUIRED:
        if (work, n, d) not in done:
            done[work, n, d] = measure(work, n, d, BUDGET)
        result = done[work, n, d]
        ours, ratio = min(result.seconds["tellapart"]), result.ratio(other)
        print(
            f"  {work:18} {n:6} × {d:3}  {other:24} {ratio:5.2f}  {min(result.seconds[other]) / ours:5.2f}  at least "
            f"{least}  {verdict(ratio >= least)}; {ours:.3f} s, {result.share:.0%} of the product's peak",
            flush=True,
        )
        rows.append(f"| {work}, {n} × {d} | {other} | {ratio:.1f} | {ours:.2f} s |")
    print("\nup to 10⁶ scores: our time over the plain formula's (median of rounds), at most 1.10")
    for work, n, d in SMALL:
        plain = next(iter(WORKS[work].others))
        result = measure(work, n // 2 if work == "NT-Xent" else n, d, 1.0, only=(plain,))
        print(f"  {work:18} {result.n:6} × {d:3}  {plain:24} {1 / result.ratio(plain):5.2f}  ", end="")
        print(verdict(result.ratio(plain) >= 1 / 1.1), flush=True)
    beyond = int(peak("symmetric", UNIT_VECTORS, 32768, 512))
    print("\npeak beyond inputs and gradients, symmetric 32768 × 512, nothing kept: ", end="")
    print(f"{beyond} MiB, at most 64  {verdict(beyond <= 64)}")
    seconds, resident = alone("--whole", "65536", "512").split()
    print(f"symmetric 65536 × 512: {seconds} s, {resident} MiB resident in all, at most 1536  ", end="")
    print(verdict(int(resident) <= 1536))
    return "\n".join(rows)


def verdict(met: bool) -> str:
    """How a line ends."""
    return "met" if met else "NOT MET"


def everything() -> None:
    """Measure every size, and write the tables and the plot."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "loss_short.md").write_text(required() + "\n", encoding="utf-8")
    results = []
    for work in WORKS:
        for n in SIZES:
            for d in WIDTHS:
                results.append(measure(work, n, d, 0.4 * BUDGET if n >= 4096 else 1.0))
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
        if label != "tellapart"
    )
    return (
        f"| {result.work} | {result.n} × {result.d} | {times('tellapart')} | {result.share:.0%} "
        f"| {result.errors['tellapart']:.0e} | {others or '–'} |"
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
        labels = ["tellapart", KEEPING_NONE, *(x for x in WORKS[work].others if x != "pytorch-metric-learning")]
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
            type="log", tickvals=SIZES, ticktext=["64", "256", "1k", "4k", "8k", "16k"], row=1, col=column
        )
    figure.update_yaxes(
        type="log", tickvals=[0.5, 1, 2, 4, 8, 16], title="times as fast as<br>the plain formula", col=1
    )
    figure.update_yaxes(type="log", tickvals=[0.5, 1, 2, 4, 8, 16])
    figure.update_layout(template="simple_white", width=1160, height=340, margin={"t": 40, "b": 60, "l": 70, "r": 10})
    figure.add_annotation(text="examples in the batch", x=0.5, y=-0.2, xref="paper", yref="paper", showarrow=False)
    save_png(figure, path, 1160, 340)
