"""Writes embeddings of eleven rows, in a process of its own; "slow" waits at the seventh to be killed.

python -m tests.runs.output_job FOLDER [slow]
"""

import os
import signal
import sys
from pathlib import Path

import torch

from tellapart.runs import Embeddings, Run, in_rows, write_embeddings


def under(environment: dict[str, str]) -> None:
    """What a process is told before it writes."""
    os.environ.update(environment)


def write(folder: Path, slow: bool) -> None:
    vectors = torch.arange(22.0).view(11, 2)

    def embed(rows: slice) -> Embeddings:
        with (folder / "done.txt").open("a") as file:
            file.write(f"{rows.start}\n")
        if slow and rows.start == 6:
            signal.pause()
        names = [str(row) for row in range(rows.start, rows.stop)]
        return Embeddings(names, ["row"] * len(names), vectors[rows])

    parts = in_rows(11, embed, lambda rows: [b"%d" % rows.start], 2)
    print(write_embeddings(parts, folder / "x.parquet", Run(folder / "run")))


if __name__ == "__main__":
    write(Path(sys.argv[1]), "slow" in sys.argv[2:])
