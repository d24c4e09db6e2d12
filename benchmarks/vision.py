"""SimCLR and MoCo on Fashion-MNIST, without labels, against raw pixels, an untrained encoder and a peer's formula.

    python benchmarks/vision.py                            three seeds of each; writes results/vision.md
    python benchmarks/vision.py --systems simclr --seeds 0

The pictures are fetched from Debian's package dataset-fashion-mnist (MIT) into a cache. Each run is an ordinary
`tellapart train`, with the options below for all; runs/vision keeps them, and what is complete is not trained again.
Labels are used only afterwards: of 20,000 training pictures, to tell those of the 10,000 test pictures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import fetch

RESULT = Path(__file__).parent / "results" / "vision.md"
OPTIONS = {
    "epochs": 16,
    "batch_size": 256,
    "width": 16,
    "crop": 0.3,
    "jitter": 0.5,
    "learning_rate": 2e-3,
    "trainer.precision": "bf16-mixed",
}
SYSTEMS = ("simclr", "moco")


def train(system: str, seed: int, runs: Path) -> Path:
    """The folder of a complete run."""
    run = runs / f"{system}-{seed}"
    words = ["--data", str(fetch.fetch("fashion-mnist")), "--seed", str(seed), "--run", str(run), "--resume"]
    words += [word for name, value in OPTIONS.items() for word in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "-m", "tellapart", "train", system, *words], check=True)
    return run


def spread(values: list[float], how: str = ".3f") -> str:
    """Mean ± sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{format(statistics.mean(values), how)} ± {format(deviation, how)}"


def seconds(run: Path) -> tuple[float, float]:
    """Of a run's log: the minutes of all its steps, and a step's seconds in the median."""
    steps = [json.loads(line)["seconds"] for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return sum(steps) / 60, statistics.median(steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/vision"))
    given = parser.parse_args()
    lines: list[str] = []
    for system in given.systems:
        runs = [train(system, seed, given.runs) for seed in given.seeds]
        tables = [json.loads((run / "results.json").read_text(encoding="utf-8")) for run in runs]
        if not lines:
            header = ["", *tables[0]["header"][1:], "minutes of training", "s a step"]
            lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
            lines += [row_of(tables, row, name, ["", ""]) for row, name in enumerate(first_column(tables))][:-1]
        spent = list(zip(*map(seconds, runs), strict=True))
        lines.append(row_of(tables, -1, system, [spread(list(spent[0]), ".1f"), spread(list(spent[1]), ".2f")]))
    options = ", ".join(f"{name} {value}" for name, value in OPTIONS.items())
    lines.append(f"\n{tables[0]['title']}. Seeds {', '.join(map(str, given.seeds))}; {options}.")
    text = "\n".join(lines) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text, end="")


def first_column(tables: list[dict]) -> list[str]:
    return [row[0] for row in tables[0]["rows"]]


def row_of(tables: list[dict], row: int, name: str, more: list[str]) -> str:
    """One model's figures over the seeds."""
    columns = zip(*(table["rows"][row][1:] for table in tables), strict=True)
    return "| " + " | ".join([name, *(spread(list(column)) for column in columns), *more]) + " |"


if __name__ == "__main__":
    main()
