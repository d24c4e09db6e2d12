"""Writes the page of a run folder: figures, a table of results, and examples of search."""

from __future__ import annotations

import base64
import gzip
import io
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from plotly.offline import get_plotlyjs

from tellapart.diagnostics import training_warnings
from tellapart.errors import InputError
from tellapart.evaluation import Table
from tellapart.pages import write_page
from tellapart.report import figures
from tellapart.report.colours import ON_DARK
from tellapart.report.found import found
from tellapart.report.images import as_source, sheet
from tellapart.report.panel import gauges
from tellapart.report.shown import Shown
from tellapart.report.verdict import plural, verdict
from tellapart.runs import Gallery, load_pictures
from tellapart.training import best_of, flat_options, told

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.runs import Run

_SHEET_BYTES, _PICTURES_BYTES = 400_000, 200_000  # so that a page has 3 MB at most


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
    thumbnails = None if shown is None or shown.thumbnails is None else sheet(shown.thumbnails, _SHEET_BYTES)
    pictures, shared = _pictures(run)
    target = output or run.report
    write_page(
        target,
        "report",
        run=run,
        name=run.folder.resolve().name,
        options=flat_options(options := run.options()),
        table=table,
        verdict="" if table is None else verdict(table, "item" if shown is None else shown.kind),
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
        plural=plural,
        pictures=pictures,
        shared_caption=shared,
        sheet=thumbnails,
        figures=_figures(log) | _charts(table) | ({} if shown is None else _figures_of_gallery(shown)),
        on_dark=ON_DARK,
        gallery=None if shown is None else found(shown) | {"columns": thumbnails and thumbnails.columns},
        plotly=_packed_plotly(),
    )
    return target


@cache
def _packed_plotly() -> str:
    """Plotly's source, which the page unpacks: its Python package has none for some kinds of figures alone."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _pictures(run: Run) -> tuple[list[dict[str, str]], str]:
    """The pictures that a run keeps for its report, and what all their captions say after a name."""
    kept = load_pictures(run.pictures)
    try:
        images = [Image.open(io.BytesIO(picture.png)).convert("RGB") for picture in kept]
    except OSError as error:
        raise InputError(f"{run.pictures}: damaged. Delete it to have a report without its pictures.") from error
    sources = [as_source(image, _PICTURES_BYTES // len(kept)) for image in images]
    captions = [picture.caption for picture in kept]
    names, said = zip(*(caption.split(", ", 1) for caption in captions), strict=True) if _repeat(captions) else ((), ())
    shown = names or captions
    made = [{"caption": caption, "source": source} for caption, source in zip(shown, sources, strict=True)]
    return made, said[0][:1].upper() + said[0][1:] if said else ""


def _repeat(captions: list[str]) -> bool:
    """Whether captions say the same after a name and a comma."""
    said = {caption.partition(", ")[2] for caption in captions}
    return len(captions) > 1 and len(said) == 1 and said != {""}


def _best(log: figures.Log, trainer: dict[str, Any]) -> str:
    """Which weights were kept, in words; "" if they are the last."""
    best = best_of(log, by := trainer.get("best_by", "accuracy")) if trainer.get("validate_every") else None
    return "" if best is None else told(best, by)


def _figures(log: figures.Log) -> dict[str, Any]:
    """Figures of what the log has."""
    made = {f"panel-{gauge.name}": gauge.curve(log) for gauge in gauges(log) if not gauge.is_constant(log)}
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
        drawn = figures.word_map(places)
    elif shown.by_text:
        drawn = figures.rank_map(places, shown.ranks())
    else:
        drawn = figures.label_map(places, shown.labels, f"{shown.kind}s")
    scores = figures.score_histogram(shown.cosines[shown.positives], shown.cosines[negatives], what)
    return _as_json({"scores": scores, "map": drawn})


def _as_json(made: dict[str, Any]) -> dict[str, Any]:
    return {name: json.loads(figure.to_json()) for name, figure in made.items()}


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
    return np.asarray(tsne.fit_transform(vectors), dtype=np.float32)
