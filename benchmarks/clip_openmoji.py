"""The demo's training at several seeds: held-out retrieval as mean ± standard deviation.

    python benchmarks/clip_openmoji.py [--seeds 0 1 2]          results/clip_openmoji.md, and the README's table

The seed also decides which pairs are held out, so the deviation is that of data and training together. The pictures
come with the `openmoji` extra (OpenMoji, CC BY-SA 4.0); nothing is downloaded. Each run is an ordinary `tellapart train
clip` on one core. runs/openmoji keeps the runs, and complete ones are not repeated.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pages import publish
from trainings import results, row, spread, took, train_all

_HOW = (".3f", ".3f", ".3f", ".0f")


def table(folders: list[Path], seeds: list[int]) -> str:
    """The results of the runs, as Markdown."""
    tables = [results(folder) for folder in folders]
    lines = [row(tables[0]["header"]), "|---" * len(tables[0]["header"]) + "|"]
    for same in zip(*(found["rows"] for found in tables), strict=True):
        direction, name, *columns = zip(*same, strict=True)
        cells = [spread(column, how) for column, how in zip(columns, _HOW, strict=True)]
        lines.append(row([direction[0], name[0], *cells]))
    minutes = spread((took(folder)["minutes"] for folder in folders), ".1f")
    title = f"{tables[0]['title']}; {minutes} minutes of one core each; seeds {', '.join(map(str, seeds))}."
    return "\n".join([*lines, "", title])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/openmoji"))
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs at a time")
    given = parser.parse_args()
    words = ["-m", "tellapart", "train", "clip", "--resume"]
    folders = {given.runs / f"seed-{seed}": ["--seed", str(seed)] for seed in given.seeds}
    train_all({folder: [*words, "--run", str(folder), *seed] for folder, seed in folders.items()}, given.at_once)
    publish("clip_openmoji", table(list(folders), given.seeds))


if __name__ == "__main__":
    main()
