"""Fills the page: what the run folder holds becomes figures, a table and pictures found."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import torch
from plotly.offline import get_plotlyjs

from tellapart import __version__
from tellapart.data import text_id
from tellapart.data.gallery import Gallery
from tellapart.evaluation import Table
from tellapart.files import atomic_write
from tellapart.relations import same
from tellapart.report import figures

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    from tellapart.run import Run

_N_QUERIES, _N_FOUND = 9, 5


@dataclass(frozen=True)
class _Shown:
    """The held-out pairs that have a thumbnail: their cosines and who is whose counterpart."""

    texts: list[str]
    thumbnails: list[str]
    pictures: Float[np.ndarray, "n d"]
    cosines: Float[np.ndarray, "n n"]
    counterparts: Bool[np.ndarray, "n n"]


def write_report(run: Run, output: Path | None) -> Path:
    """Write the report of a trained run; by default into its folder. Returns where it is.

    Raises:
        InputError: the run is not complete, or the page cannot be written.
    """
    run.check_trained()
    log, table = run.log(), Table.from_dict(run.results())
    shown = _shown(Gallery.load(run.gallery))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tellapart", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["source"] = lambda name: environment.loader.get_source(environment, name)[0]  # type: ignore[union-attr]
    html = environment.get_template("page.html").render(
        run=run,
        name=run.folder.resolve().name,
        version=__version__,
        options=_flat(run.options()),
        table=table,
        last=log[-1],
        n_shown=len(shown.texts),
        figures=_figures(log, shown),
        hover=[{"text": text, "image": image} for text, image in zip(shown.texts, shown.thumbnails, strict=True)],
        found=_found(shown),
        plotly=get_plotlyjs(),
    )
    target = output or run.report
    with atomic_write(target) as file:
        file.write(html.encode())
    return target


def _shown(gallery: Gallery) -> _Shown:
    rows = [row for row, png in enumerate(gallery.thumbnails) if png is not None]
    pictures, captions = gallery.pictures[rows], gallery.captions[rows]
    texts, pngs = [gallery.texts[row] for row in rows], [gallery.thumbnails[row] for row in rows]
    # Equal pictures have equal PNG files.
    relation, everything = same([text_id(text) for text in texts]) | same(pngs), slice(0, len(rows))
    return _Shown(
        texts=texts,
        thumbnails=["data:image/png;base64," + base64.b64encode(png).decode() for png in pngs if png is not None],
        pictures=pictures.numpy(),
        cosines=(pictures @ captions.T).numpy(),
        counterparts=relation.tile(everything, everything).numpy(),
    )


def _figures(log: figures.Log, shown: _Shown) -> dict[str, Any]:
    best = np.where(shown.counterparts, shown.cosines, -np.inf).max(axis=1, keepdims=True)
    ranks = 1 + ((shown.cosines >= best) & ~shown.counterparts).sum(axis=1)
    made = {
        "loss": figures.loss_curve(log),
        "information": figures.information_curve(log),
        "accuracy": figures.accuracy_curve(log),
        "scores": figures.score_histogram(shown.cosines[shown.counterparts], shown.cosines[~shown.counterparts]),
        "map": figures.embedding_map(_flat_map(shown.pictures), ranks),
    }
    return {name: json.loads(figure.to_json()) for name, figure in made.items()}


def _flat_map(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 2"]:
    """Two dimensions in which neighbours stay neighbours: t-SNE, or the first two axes of very few points."""
    n = len(vectors)
    if n < 12:
        centred = torch.from_numpy(vectors - vectors.mean(axis=0))
        axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
        plane = (centred @ axes.T).numpy()
        return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
    from sklearn.manifold import TSNE

    tsne = TSNE(init="pca", perplexity=min(30, (n - 1) / 3), metric="cosine", random_state=0)
    return np.asarray(tsne.fit_transform(vectors), dtype=float)


def _found(shown: _Shown) -> list[dict[str, Any]]:
    """For a few texts, drawn at random, the pictures found, best first."""
    n = len(shown.texts)
    chosen = np.sort(np.random.default_rng(0).permutation(n)[:_N_QUERIES])
    result = []
    for query in chosen:
        order = np.argsort(-shown.cosines[:, query], kind="stable")[:_N_FOUND]
        hits = [
            {
                "image": shown.thumbnails[row],
                "text": shown.texts[row],
                "score": f"{shown.cosines[row, query]:.2f}",
                "right": bool(shown.counterparts[row, query]),
            }
            for row in order
        ]
        result.append({"text": shown.texts[query], "hits": hits})
    return result


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    trainer = {f"trainer.{name}": value for name, value in (options.get("trainer") or {}).items()}
    return {name: value for name, value in options.items() if name != "trainer"} | trainer
