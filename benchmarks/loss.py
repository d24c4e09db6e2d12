"""The loss against plain formulas and installed peers: time, memory and error, in one run on this machine.

    python benchmarks/loss.py --short               the lines that have to hold, in about six minutes
    python benchmarks/loss.py --busy                the same beside a process that keeps one core busy
    python benchmarks/loss.py --before OTHER/src    the same, and the tellapart of another checkout takes turns, too
    python benchmarks/loss.py                       every size; writes results/loss.md and results/loss.png

Times are forward + backward in float32 of contenders that take turns; peaks are those of fresh processes.
"""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path

import torch

import loss_memory
import loss_required
import loss_tables
import tellapart
from busy import busy_process
from contenders import Worker
from pages import publish


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="only the lines that have to hold")
    parser.add_argument("--busy", action="store_true", help="these, beside a process that keeps one core busy")
    parser.add_argument("--before", type=Path, metavar="SRC", help="these, and the tellapart in SRC takes turns, too")
    parser.add_argument("--only", nargs="+", metavar="WORK", default=[], help="these, of works that begin so")
    parser.add_argument("--peak", nargs=4, metavar=("WORK", "CONTENDER", "N", "D"), help="used by this script itself")
    parser.add_argument("--whole", nargs=2, type=int, metavar=("N", "D"), help="used by this script itself")
    arguments = parser.parse_args()
    if arguments.whole:
        loss_memory.report_whole(*arguments.whole)
    elif arguments.peak:
        name, contender, n, d = arguments.peak
        loss_memory.report_peak(name, contender, int(n), int(d))
    else:
        check(parser, arguments)
        load = os.getloadavg()[0]
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load average before the run {load:.1f}")
        if arguments.short or arguments.busy or arguments.before or arguments.only:
            short(arguments)
        else:
            loss_tables.everything()


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse what cannot be measured."""
    if arguments.before and not (arguments.before / "tellapart" / "__init__.py").is_file():
        parser.error(f"--before must be a folder that holds tellapart, got {arguments.before}")
    for name in arguments.only:
        if not loss_required.known(name):
            parser.error(f"--only must be the beginning of {', '.join(loss_required.ALL)}, got {name}")


def short(arguments: argparse.Namespace) -> None:
    """The short run, with the processes that it needs; of all works, it also updates the README's table."""
    with ExitStack() as processes:
        workers = {}
        if arguments.before:
            here = Path(tellapart.__file__).parents[1]
            for label, src in ((loss_required.NOW, here), (loss_required.BEFORE, arguments.before)):
                workers[label] = processes.enter_context(Worker(src))
        if arguments.busy:
            processes.enter_context(busy_process())
        table = loss_required.Short(arguments.busy, workers, arguments.only).run()
    if not workers and not arguments.only:
        publish("loss_busy" if arguments.busy else "loss_short", table)


if __name__ == "__main__":
    main()
