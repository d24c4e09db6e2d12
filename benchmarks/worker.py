"""What a `Worker` of contenders.py runs: the tellapart it finds on its path takes a turn for each line it reads."""

from __future__ import annotations

import json
import signal
import sys
from functools import lru_cache

from torch import Tensor

import tellapart
from contenders import turn
from works import ALL


@lru_cache(maxsize=1)
def inputs(work: str, n: int, d: int) -> list[Tensor]:
    """The inputs of the work that is measured now; those of the work before are let go."""
    return ALL[work].inputs(n, d)


def main() -> None:
    # Ctrl-C is the parent's to handle: without it the input ends, and so does this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(json.dumps(tellapart.__file__), flush=True)
    for line in sys.stdin:
        work, n, d, steps = json.loads(line)
        print(json.dumps(turn(ALL[work].ours, inputs(work, n, d), steps)), flush=True)


if __name__ == "__main__":
    main()
