"""Writes the page of a run folder: figures, a table of results, and examples of search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from plotly.offline import get_plotlyjs

from tellapart.diagnostics import training_warnings
from tellapart.evaluation import Table
from tellapart.pages import write_page
from tellapart.report import figures
from tellapart.report.panel import gauges
from tellapart.report.shown import Shown
from tellapart.runs import Gallery, load_pictures
from tellapart.training import best_of, flat_options, told

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.runs import Run

_N_QUERIES, _N_FOUND = 9, 5


def write_report(run: Run, output: Path | None, *, results: bool = True, gallery: bool = True) -> Path:
    """Write the report of a trained run; by default into its folder. Returns its path.

    Args:
        run: the run.
        output: the file to write.
        results: whether the run has results of an evaluation to show.
        gallery: whether it has a gallery to look through.

    Raises:
        InputError: the run is not complete, or the page cannot be written.
    """
    run.check_trained()
    log, table = run.log(), Table.from_dict(run.results()) if results else None
    shown = Shown.of(Gallery.load(run.gallery)) if gallery else None
    target = output or run.report
    write_page(
        target,
        "report",
        run=run,
        name=run.folder.resolve().name,
        options=flat_options(options := run.options()),
        table=table,
        last=log[-1],
        best=_best(log, options.get("trainer") or {}),
        logged={name for entry in log for name in entry},
        times=_times(log),
        warnings=training_warnings(log),
        gauges=gauges(log),
        conflicts=_conflicts(log),
        log=log,
        told=run.told(),
        shown=shown,
        pictures=load_pictures(run.pictures),
        figures=_figures(log) | _charts(table) | ({} if shown is None else _figures_of_gallery(shown)),
        hover=[] if shown is None else _hover(shown),
        found=[] if shown is None else _found(shown),
        plotly=get_plotlyjs(),
    )
    return target


def _best(log: figures.Log, trainer: dict[str, Any]) -> str:
    """Which weights were kept, in words; "" if they are the last."""
    best = best_of(log, by := trainer.get("best_by", "accuracy")) if trainer.get("validate_every") else None
    return "" if best is None else told(best, by)


def _figures(log: figures.Log) -> dict[str, Any]:
    """Figures of what the log has."""
    made = {f"panel-{gauge.name}": gauge.curve(log) for gauge in gauges(log)}
    logged = {name for entry in log for name in entry}
    for name, is_known, draw in (
        ("loss", any(name.startswith("loss") for name in logged), figures.loss_curve),
        ("gradients", "gradient_cosine" in logged, figures.gradients_curve),
        # Batches of several positives a query have a bound by chance only: for the few queries with one.
        ("information", 2 * sum("mi_bound" in entry for entry in log) > len(log), figures.information_curve),
        ("accuracy", "accuracy" in logged, figures.accuracy_curve),
    ):
        if is_known:
            made[name] = draw(log)
    return _as_json(made)


def _charts(table: Table | None) -> dict[str, Any]:
    """Figures of the charts that evaluation made."""
    return _as_json({f"chart-{i}": figures.lines(chart) for i, chart in enumerate(table.charts if table else [])})


def _conflicts(log: figures.Log) -> list[float]:
    """Whether the gradients of two losses were in conflict, at each step that tells."""
    return [entry["gradient_conflict"] for entry in log if "gradient_conflict" in entry]


def _figures_of_gallery(shown: Shown) -> dict[str, Any]:
    places = _flat_map(shown.vectors)
    negatives = shown.candidates & ~shown.positives
    what = f"{shown.kind} and {shown.asked}" if shown.by_text else f"two {shown.kind}s"
    if shown.ranked:
        drawn = figures.word_map(places, shown.captions)
    elif shown.by_text:
        drawn = figures.rank_map(places, shown.ranks())
    else:
        drawn = figures.label_map(places, shown.labels, f"{shown.kind}s")
    scores = figures.score_histogram(shown.cosines[shown.positives], shown.cosines[negatives], what)
    return _as_json({"scores": scores, "map": drawn})


def _as_json(made: dict[str, Any]) -> dict[str, Any]:
    return {name: json.loads(figure.to_json()) for name, figure in made.items()}


def _hover(shown: Shown) -> list[dict[str, str | None]]:
    return [{"text": text, "image": image} for text, image in zip(shown.captions, _images(shown), strict=True)]


def _images(shown: Shown) -> list[str] | list[None]:
    return [None] * len(shown.captions) if shown.thumbnails is None else shown.thumbnails


def _times(log: figures.Log) -> dict[str, Any]:
    """The median seconds of a step, and the shares of all seconds spent in named parts."""
    total = sum(entry["seconds"] for entry in log)
    named = {name.removeprefix("seconds_") for entry in log for name in entry if name.startswith("seconds_")}
    parts = {part: sum(entry.get(f"seconds_{part}", 0.0) for entry in log) / total for part in sorted(named)}
    return {"step": float(np.median([entry["seconds"] for entry in log])), "parts": parts}


def _flat_map(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 2"]:
    """A map in two dimensions by t-SNE, or by the first two principal axes if there are very few points."""
    n = len(vectors)
    if n < 12:
        centred = torch.from_numpy(vectors - vectors.mean(axis=0))
        axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
        plane = (centred @ axes.T).numpy()
        return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
    from sklearn.manifold import TSNE

    tsne = TSNE(init="pca", perplexity=min(30, (n - 1) / 3), metric="cosine", random_state=0)
    return np.asarray(tsne.fit_transform(vectors), dtype=float)


def _found(shown: Shown) -> list[dict[str, Any]]:
    """The results of a few random queries, best first."""
    n, images = len(shown.captions), _images(shown)
    cosines = np.where(shown.candidates, shown.cosines, -np.inf)
    chosen = np.sort(np.random.default_rng(0).permutation(n)[:_N_QUERIES])
    result = []
    for query in chosen:
        order = np.argsort(-cosines[:, query], kind="stable")[: min(_N_FOUND, shown.candidates[:, query].sum())]
        hits = [
            {
                "image": images[row],
                "text": shown.captions[row],
                "score": f"{shown.cosines[row, query]:.2f}",
                "right": bool(shown.positives[row, query]),
            }
            for row in order
        ]
        result.append({"text": shown.queries[query], "image": images[query], "hits": hits})
    return result
