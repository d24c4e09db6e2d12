"""The time of `import tellapart` compared with `import torch`: alternating fresh processes, medians, and their ratio.

python benchmarks/import_time.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

STATEMENTS = ("import torch", "import tellapart")


def seconds(statement: str) -> float:
    """The time of a fresh Python that executes one statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for statement in STATEMENTS:
        seconds(statement)  # reads the files into the page cache
    times = [[seconds(statement) for statement in STATEMENTS] for _ in range(rounds)]
    for statement, column in zip(STATEMENTS, zip(*times, strict=True), strict=True):
        print(f"{statement:18} median {statistics.median(column):.3f} s, min {min(column):.3f} s")
    ratio = statistics.median(ours / torch for torch, ours in times)
    print(f"tellapart / torch  median ratio {ratio:.3f} over {rounds} interleaved rounds")


if __name__ == "__main__":
    main()
