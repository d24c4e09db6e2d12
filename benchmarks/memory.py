"""The memory of a process."""

from __future__ import annotations

from pathlib import Path


def resident(reset: bool = False) -> float:
    """The peak of this process's resident memory in MiB; with `reset`, the peak is counted anew from now on.

    It is read from /proc, because `getrusage` of a child begins with its parent's peak.
    """
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
