"""Search among many vectors: the exact one and that by an index, for seconds and for what the index finds.

    python benchmarks/search.py [--seeds 3] [--sizes 110000]        writes results/search.md

Vectors are made: 128 numbers each, of 1000 clusters or of none. The index is that of `tellapart search`, which measures
itself with 256 of the vectors. Here 1000 further queries, drawn like the vectors, tell whether that was right.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from pages import publish
from tellapart.runs.index import Approximate, Exact, nearest_of
from tellapart.scores import unit

WIDTH, CLUSTERS, QUERIES, K = 128, 1000, 1000, 10


def made(n: int, spread: float, seed: int) -> tuple[Tensor, Tensor]:
    """Unit vectors and queries: around the centres of clusters, or of none for an infinite spread."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n + QUERIES, WIDTH, generator=generator)
    centres = torch.randn(CLUSTERS, WIDTH, generator=generator)
    of = torch.randint(CLUSTERS, (n + QUERIES,), generator=generator)
    drawn = unit(noise if spread == float("inf") else centres[of] + spread * noise)
    return drawn[:n], drawn[n:]


def measured(n: int, spread: float, seed: int) -> dict[str, float]:
    """Seconds and shares of one set of vectors."""
    vectors, queries = made(n, spread, seed)
    start = time.perf_counter()
    expected = [set(rows.tolist()) for _, rows in Exact(vectors)(queries, K)]
    exact = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        index = nearest_of(vectors, Path(folder) / "index.npz")
        build = time.perf_counter() - start
    assert isinstance(index, Approximate)
    start = time.perf_counter()
    found = [set(rows.tolist()) for _, rows in index(queries, K)]
    taken = time.perf_counter() - start
    share = statistics.mean(len(a & b) / K for a, b in zip(expected, found, strict=True))
    return {
        "said": index.recall,
        "found": share,
        "cells": index.index.nprobe / index.index.nlist,
        "exact": 1000 * exact / QUERIES,
        "index": 1000 * taken / QUERIES,
        "build": build,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[110_000])
    options = parser.parse_args()
    seeds = options.seeds
    what = f"{QUERIES} queries, vectors of {WIDTH} numbers, {torch.get_num_threads()} threads"
    header = "vectors | of | recall, as it says | recall, found | cells looked into | exact, ms a query | index, ms"
    header += " | built, s"
    lines = [f"{seeds} seeds, means, and of recalls least to most; {what}", "", f"| {header} |", f"|{8 * '---|'}"]
    for n in options.sizes:
        for spread, of in ((0.5, f"{CLUSTERS} clusters"), (float("inf"), "no clusters")):
            rows = [measured(n, spread, seed) for seed in range(seeds)]
            cells = [f"{n:,}", of]
            for name in ("said", "found"):
                values = [row[name] for row in rows]
                cells.append(f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})")
            means = {name: statistics.mean(row[name] for row in rows) for name in rows[0]}
            cells += [
                f"{means['cells']:.1%}",
                f"{means['exact']:.2f}",
                f"{means['index']:.2f}",
                f"{means['build']:.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    publish("search", "\n".join(lines))


if __name__ == "__main__":
    main()
