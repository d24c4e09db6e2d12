"""A graph to test with, small and made up, and options of training that are as small."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tellapart.evaluation import probe_over_splits

# Small and quick options of the graph system, for `write_graph`.
GRAPH_OPTIONS = {"width": 16, "dim": 16, "words": 64, "epochs": 12, "batch_size": 64, "held_out": 0.1}

GRAPH_WRONG = (
    ("company", -1),
    ("fan_out", 0),
    ("temperature", 0.0),
    ("drop_edges", 1.0),
    ("drop_features", -0.1),
    ("layers", 0),
    ("width", 2),
    ("dim", 2**20),
    ("words", 0),
)


def graph_tables(n: int = 60, seed: int = 0) -> tuple[list[list[object]], list[tuple[str, str]]]:
    """Rows of nodes (name, label, text, two numbers) and edges: three groups, most edges within them."""
    random = np.random.default_rng(seed)
    group = random.integers(0, 3, n)
    words = ("red warm fire", "green leaf tree", "blue cold sea")
    nodes: list[list[object]] = [
        [f"n{i}", f"group {g}", f"{random.choice(words[g].split())} thing {i}", *random.normal(g, 1, 2).round(3)]
        for i, g in enumerate(group)
    ]
    pairs = {(i, int(random.choice(np.flatnonzero(group == group[i])))) for i in range(n) for _ in range(3)}
    pairs |= {(int(i), int(j)) for i, j in random.integers(0, n, (n // 6, 2))}
    return nodes, [(f"n{i}", f"n{j}") for i, j in sorted(pairs) if i < j]


def write_graph(folder: Path, n: int = 60, labelled: bool = True) -> Path:
    """A folder with the tables of `graph_tables`; the text of a node and its numbers are its features."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes, pairs = graph_tables(n)
    header = ["node", *(["label"] if labelled else []), "text", "first", "second"]
    rows = [row if labelled else [row[0], *row[2:]] for row in nodes]
    for name, content in (("nodes", [header, *rows]), ("edges", [["source", "target"], *pairs])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(content)
    return folder


@contextmanager
def few_splits() -> Iterator[None]:
    """Inside, probes are fitted to few splits of the nodes: to twenty they would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tellapart.domains.graphs.measure.probe_over_splits", partial(probe_over_splits, n_splits=3))
        yield


def graph_arguments(**options: object) -> list[str]:
    """The graph system's tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (GRAPH_OPTIONS | options).items()]
