"""A process that keeps one core busy, to measure beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# It is of the same session and priority as what it disturbs, for schedulers share by these. It ends without its parent.
_SPIN = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep one core busy within the block, and print at its end how much of a core that took."""
    process = subprocess.Popen([sys.executable, "-c", _SPIN, str(os.getpid())])
    start = time.perf_counter()
    try:
        yield
        share = _seconds(process.pid) / (time.perf_counter() - start)
        print(f"\nthe busy process had {share:.0%} of a core")
    finally:
        process.kill()
        process.wait()


def _seconds(pid: int) -> float:
    """Processor time of a process so far, by the kernel's count."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in after_name[11:13]) / os.sysconf("SC_CLK_TCK")
