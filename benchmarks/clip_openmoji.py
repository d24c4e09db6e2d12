"""The demo's training at several seeds: held-out retrieval as mean ± standard deviation.

    python benchmarks/clip_openmoji.py [--seeds 0 1 2] [--output benchmarks/results/clip_openmoji.md]

The seed decides which pairs are held out, too, so the spread is that of data and of training together.
The pictures come with the `openmoji` extra (OpenMoji, CC BY-SA 4.0); nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def train(seed: int, folder: Path) -> tuple[dict, float]:
    """The results of one training and its seconds, data loading and evaluation included."""
    run, start = folder / f"seed-{seed}", time.perf_counter()
    words = ["train", "clip", "--seed", str(seed), "--run", str(run)]
    subprocess.run([sys.executable, "-m", "tellapart", *words], check=True)
    return json.loads((run / "results.json").read_text()), time.perf_counter() - start


def spread(values: list[float], how: str) -> str:
    """Mean ± sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{format(statistics.mean(values), how)} ± {format(deviation, how)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "clip_openmoji.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trained = [train(seed, Path(folder)) for seed in options.seeds]
    tables = [results for results, _ in trained]
    lines = ["| | | R@1 | R@5 | R@10 | median rank |", "|---|---|---|---|---|---|"]
    for rows in zip(*(table["rows"] for table in tables), strict=True):
        columns = list(zip(*rows, strict=True))[2:]
        cells = [spread(list(column), how) for column, how in zip(columns, (".3f", ".3f", ".3f", ".0f"), strict=True)]
        lines.append(f"| {rows[0][0]} | {rows[0][1]} | {' | '.join(cells)} |")
    seconds = spread([s for _, s in trained], ".0f")
    lines += ["", f"{tables[0]['title']}; seeds {', '.join(map(str, options.seeds))}; {seconds} s each."]
    text = "\n".join(lines) + "\n"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
