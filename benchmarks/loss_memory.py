"""Peak memory of a forward and backward pass: `loss.py` calls itself, so that each is that of a fresh process."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import torch

import formulas
from contenders import turn
from memory import resident
from tellapart import info_nce, options
from works import ALL, leaves

KEEPING_NONE = "tellapart, keeping none"
UNIT_VECTORS = "tellapart, keeping none, unit vectors"


def peak(name: str, contender: str, n: int, d: int) -> str:
    """MiB that forward and backward need beyond inputs and gradients, in a process of their own."""
    return alone("--peak", name, contender, str(n), str(d))


def alone(*arguments: str) -> str:
    """What `loss.py` prints in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("loss.py")), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def report_peak(name: str, contender: str, n: int, d: int) -> None:
    """What the process of `peak` does: warm up small, then measure."""
    work = ALL[name]
    loss = work.ours if contender.startswith("tellapart") else work.others[contender]
    inputs = work.inputs(n, d)
    if contender == UNIT_VECTORS:
        # As open_clip hands them over: a loss that normalises has its unit vectors besides.
        inputs = [torch.nn.functional.normalize(x.detach()).requires_grad_() for x in inputs]
        loss = partial(info_nce, temperature=formulas.TAU, symmetric=True, score="dot")
    turn(loss, work.inputs(64, d))
    before = resident(reset=True)
    with options(memory_budget=0 if contender in (KEEPING_NONE, UNIT_VECTORS) else None):
        turn(loss, inputs)
    gradients = sum(x.numel() * x.element_size() for x in inputs if x.requires_grad) / 2**20
    print(f"{resident() - before - gradients:.0f}")


def report_whole(n: int, d: int) -> None:
    """Do one step of a symmetric loss that keeps nothing, and print the seconds and the peak of the whole process."""
    inputs = [torch.nn.functional.normalize(x.detach()).requires_grad_() for x in leaves(n, d, 2)]
    loss = partial(info_nce, temperature=formulas.TAU, symmetric=True, score="dot")
    with options(memory_budget=0):
        seconds = turn(loss, inputs).seconds
    print(f"{seconds:.0f} {resident():.0f}")
