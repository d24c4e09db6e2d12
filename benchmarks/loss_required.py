"""The lines of `loss.py` that have to hold, each with its bound and a verdict: the short run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from contenders import Worker
from loss_memory import UNIT_VECTORS, alone, peak
from measuring import OURS, Result, measure
from works import ALL, WORKS


class Row(NamedTuple):
    """A work at a size, what it is held against, and how many times as fast it has to be; None: only told."""

    work: str
    n: int
    d: int
    other: str
    quiet: float | None
    busy: float | None


REQUIRED = [
    Row("symmetric", 8192, 128, "open_clip's formula", 3.6, 3.0),
    Row("symmetric", 8192, 512, "open_clip's formula", 2.8, 1.9),
    Row("NT-Xent", 4096, 128, "lightly's formula", 7.0, 5.0),
    Row("NT-Xent", 4096, 128, "F.cross_entropy, masked", 4.0, None),
    Row("one way", 8192, 128, "F.cross_entropy", 2.3, 2.0),
    Row("SupCon, 10 labels", 8192, 128, "materialised mask", 4.0, 3.0),
    Row("queue of 65,536", 4096, 128, "materialised mask", 4.0, 3.0),
    Row("queue of 65,536", 4096, 128, "concatenated logits", None, None),
    Row("queue of 65,536", 256, 128, "materialised mask", None, None),
    Row("queue of 65,536", 256, 128, "concatenated logits", None, None),
    Row("edges to 13,824 keys", 1800, 64, "materialised weights", 4.0, 3.0),
    Row("edges to 13,824 keys", 1800, 128, "materialised weights", 4.0, 3.0),
]
QUIET_ONLY = [Row("symmetric", 16384, 512, "open_clip's formula", 2.8, None)]
# Up to 10⁶ scores. NT-Xent has two rows an example.
SMALL = [
    Row(work, n // 2 if work == "NT-Xent" else n, d, next(iter(WORKS[work].others)), 0.95, 0.8)
    for work, sizes in (
        ("one way", (64, 256, 1000)),
        ("symmetric", (64, 256, 1000)),
        ("NT-Xent", (64, 256, 1000)),
        ("SupCon, 10 labels", (64, 256, 1000)),
        ("queue of 65,536", (15,)),
        ("edges to 13,824 keys", (72,)),
    )
    for n in sizes
    for d in (64, 128, 512)
]
TERMS = [
    Row("terms, one way", 512, 128, "info_nce", 1.05, None),
    Row("terms, symmetric", 512, 128, "info_nce", 1.05, None),
    Row("terms, SimCLR", 512, 128, "info_nce", 1.05, None),
    Row("terms, SupCon", 512, 128, "info_nce", 1.05, None),
    Row("terms, three views", 768, 128, "info_nce", 1.05, None),
    Row("terms, one way", 4096, 128, "info_nce", 1.05, None),
]
BUDGET, SMALL_BUDGET = 8.0, 0.8
# Labels of the workers, and how many times as fast this checkout has to be as the one before: as fast, but for what
# two runs of one commit differ by.
NOW, BEFORE = "this checkout", "the checkout before"
AS_FAST = 0.97


@dataclass
class Short:
    """One short run: what it measures beside, and the verdicts so far."""

    busy: bool = False
    workers: dict[str, Worker] = field(default_factory=dict)
    only: Sequence[str] = ()
    verdicts: list[bool] = field(default_factory=list)

    def run(self) -> str:
        """Print all lines; the first of them as a table."""
        rows = ["| forward + backward | against | times as fast (median) | tellapart (fastest) |", "|---|---|---|---|"]
        beside = ", beside one busy process" if self.busy else ""
        print(f"\nforward + backward, float32{beside}: how many times as long the other takes,")
        print("by the median of rounds (by their quartiles)")
        rows += self.lines(REQUIRED if self.busy else REQUIRED + QUIET_ONLY, BUDGET)
        print(f"\nup to 10⁶ scores{beside}")
        self.lines(SMALL, SMALL_BUDGET)
        print(f"\nthe loss by info_nce_terms{beside}: how many times as long it takes as info_nce")
        self.lines(TERMS, 2 * SMALL_BUDGET, ceiling=True)
        if not (self.busy or self.only):
            self.memory()
        print(f"\n{sum(self.verdicts)} of {len(self.verdicts)} lines hold")
        return "\n".join(rows)

    def lines(self, rows: list[Row], budget: float, *, ceiling: bool = False) -> list[str]:
        """Measure what is chosen of these rows, print a line for each, and return lines of a table.

        With a ceiling, bounds are of our time over the other's, instead of the other's over ours.
        """
        table = []
        chosen = [row for row in rows if not self.only or row.work.startswith(tuple(self.only))]
        for work, n, d in dict.fromkeys(row[:3] for row in chosen):
            beside = [row for row in chosen if row[:3] == (work, n, d)]
            others = tuple(row.other for row in beside)
            # More contenders share it, and what a scheduler decides needs more rounds.
            seconds = budget * (1 + bool(self.workers)) * (1 + self.busy)
            result = measure(work, n, d, seconds, only=others, workers=self.workers)
            for row in beside:
                bound = row.busy if self.busy else row.quiet
                self.line(result, row.other, OURS, bound, ceiling)
                fastest = f"{min(result.seconds[OURS]):.2f} s"
                table.append(f"| {work}, {n} × {d} | {row.other} | {result.ratio(row.other):.1f} | {fastest} |")
            if self.workers:
                self.line(result, BEFORE, NOW, None if self.busy else AS_FAST)
        return table

    def line(self, result: Result, other: str, ours: str, bound: float | None, ceiling: bool = False) -> None:
        """One line: the ratio, its bound and the verdict, and how much of the machine ours uses."""
        ratios = result.ratios(ours, other) if ceiling else result.ratios(other, ours)
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        seconds = f"{time(min(result.seconds[ours]))} against {time(min(result.seconds[other]))}"
        print(
            f"  {result.work:20} {result.n:6} × {result.d:3}  {other:24} {middle:5.2f} ({low:.2f}–{high:.2f})  "
            f"{self.verdict(middle, bound, ceiling):27}  {seconds}"
            + (f", {result.share:.0%} of the product's peak" if ours == OURS else ""),
            flush=True,
        )

    def verdict(self, found: float, bound: float | None, ceiling: bool) -> str:
        """How a figure that has to reach its bound, or to stay below it, does."""
        if bound is None:
            return "no bound"
        if ceiling:
            return f"at most {bound}: {self.judged(found <= bound)}"
        return f"at least {bound}: {self.judged(found >= bound)}"

    def judged(self, holds: bool) -> str:
        """The word for it, counted."""
        self.verdicts.append(holds)
        return "holds" if holds else "FALLS SHORT"

    def memory(self) -> None:
        """The lines of memory."""
        beyond = int(peak("symmetric", UNIT_VECTORS, 32768, 512))
        print("\npeak beyond inputs and gradients, symmetric 32768 × 512, nothing kept: ", end="")
        print(f"{beyond} MiB, at most 64: {self.judged(beyond <= 64)}", flush=True)
        seconds, resident = alone("--whole", "65536", "512").split()
        print(f"symmetric 65536 × 512: {seconds} s, {resident} MiB resident in all, at most 1536: ", end="")
        print(self.judged(int(resident) <= 1536))


def time(seconds: float) -> str:
    """Seconds, or milliseconds where they are few."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def known(name: str) -> bool:
    """Whether works begin with that name."""
    return any(work.startswith(name) for work in ALL)
