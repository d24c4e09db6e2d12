"""The loss against plain formulas and installed peers: time, memory and error, in one run on this machine.

    python benchmarks/loss.py --short     the lines that have to hold, in under five minutes
    python benchmarks/loss.py             every size; writes results/loss.md and results/loss.png

Times are forward + backward in float32 of contenders that take turns; peaks are those of fresh processes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import formulas
import peers
from memory import resident
from tellapart import info_nce, nt_xent, options, paired, variants

KEEPING_NONE = "tellapart, keeping none"
UNIT_VECTORS = "tellapart, keeping none, unit vectors"
RESULTS = Path(__file__).parent / "results"
Loss = Callable[..., Tensor]
# A whole matrix, its exponentials and its gradient, a few times over, must fit.
MOST_SCORES = 600_000_000
FEW_SCORES = 70_000_000


@dataclass(frozen=True)
class Work:
    """A kind of line-up: how to make its inputs, our loss, the plain formula first among the others."""

    ours: Loss
    others: dict[str, Loss]
    inputs: Callable[[int, int], list[Tensor]]
    scores: Callable[[int], int]
    products: float
    """How many whole matrix products a streamed loss makes if it keeps nothing: forward, again, two gradients;
    one less if gradients are formed in the forward pass, half of them if the matrix is symmetric."""


def leaves(n: int, d: int, count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(n * d)
    return [torch.randn(n, d, generator=generator).requires_grad_() for _ in range(count)]


def queued(q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
    """MoCo by tellapart: the batch's other keys are no candidates, the queue is."""
    return info_nce(q, k, negatives=queue, exclude=~paired(), temperature=formulas.TAU)


WORKS = {
    "one way": Work(
        ours=lambda q, k: info_nce(q, k, temperature=formulas.TAU),
        others={"F.cross_entropy": formulas.one_product_one_cross_entropy, **peers.ONE_WAY},
        inputs=lambda n, d: leaves(n, d, 2),
        scores=lambda n: n * n,
        products=3,
    ),
    "symmetric": Work(
        ours=lambda q, k: info_nce(q, k, temperature=formulas.TAU, symmetric=True),
        others={"open_clip's formula": formulas.two_products_two_cross_entropies},
        inputs=lambda n, d: leaves(n, d, 2),
        scores=lambda n: n * n,
        products=4,
    ),
    "NT-Xent": Work(
        ours=lambda a, b: nt_xent(a, b, temperature=formulas.TAU_VIEWS),
        others={
            "F.cross_entropy, masked": formulas.masked_cross_entropy,
            "lightly's formula": formulas.blocks_without_diagonals,
            **peers.VIEWS,
        },
        inputs=lambda n, d: leaves(n, d, 2),
        scores=lambda n: 4 * n * n,
        products=2,
    ),
    "SupCon, 10 labels": Work(
        ours=lambda x, labels: variants.sup_con(x, labels, temperature=formulas.TAU_LABELS),
        others={"materialised mask": formulas.materialised_labels, **peers.LABELS},
        inputs=lambda n, d: [*leaves(n, d, 1), torch.arange(n) % 10],
        scores=lambda n: n * n,
        products=2,
    ),
    "queue of 65,536": Work(
        ours=queued,
        others={"concatenated logits": formulas.concatenated_queue},
        inputs=lambda n, d: [*leaves(n, d, 1), torch.randn(n, d), torch.randn(65_536, d)],
        scores=lambda n: n * 65_536,
        products=2,
    ),
}


@dataclass
class Result:
    """What was measured of one kind of work at one size."""

    work: str
    n: int
    d: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    share: float = float("nan")

    def ratio(self, other: str) -> float:
        """How many times as long the other took: the median over rounds."""
        return statistics.median(b / a for a, b in zip(self.seconds["tellapart"], self.seconds[other], strict=True))


def step(loss: Loss, inputs: list[Tensor]) -> float:
    """Seconds of one forward and backward pass."""
    for x in inputs:
        x.grad = None
    start = time.perf_counter()
    loss(*inputs).backward()
    return time.perf_counter() - start


def measure(name: str, n: int, d: int, budget: float, only: tuple[str, ...] = ()) -> Result:
    """Let contenders that can hold the size take turns, for about `budget` seconds, 3 to 201 rounds.

    Each round starts with another: who follows a contender that leaves the caches cold is not always the same.
    """
    work, result = WORKS[name], Result(name, n, d)
    inputs = work.inputs(n, d)
    contenders = {"tellapart": work.ours}
    if work.scores(n) <= MOST_SCORES:
        fit = {label: loss for label, loss in work.others.items() if peers.can_hold(label, n)}
        contenders |= {label: fit[label] for label in only or fit}
    exact = exact_value(work, n, inputs)
    result.errors = {label: error(loss, exact, inputs) for label, loss in contenders.items()}
    spent, rounds = 0.0, 0
    warm_up = 0 if work.scores(n) > 10**7 else 5
    while rounds < 3 + warm_up or (spent < budget and rounds < 201):
        order = list(contenders)
        for label in order[rounds % len(order) :] + order[: rounds % len(order)]:
            seconds = step(contenders[label], inputs)
            spent += seconds
            if rounds >= warm_up:
                result.seconds.setdefault(label, []).append(seconds)
        rounds += 1
    result.share = work.products * product_seconds(work.scores(n), d) / min(result.seconds["tellapart"])
    return result


def product_seconds(scores: int, d: int) -> float:
    """What one matrix product of so many scores takes here, at the best size for it."""
    side = 4096
    a, b, out = torch.randn(side, d), torch.randn(d, side), torch.empty(side, side)
    best = min(step_of_product(a, b, out) for _ in range(5))
    return best * scores / side**2


def step_of_product(a: Tensor, b: Tensor, out: Tensor) -> float:
    start = time.perf_counter()
    torch.mm(a, b, out=out)
    return time.perf_counter() - start


def exact_value(work: Work, n: int, inputs: list[Tensor]) -> float:
    """The loss in float64: by the plain formula or, where that does not fit, streamed."""
    plain = next(iter(work.others.values()))
    with torch.no_grad():
        loss = plain if work.scores(n) <= FEW_SCORES else work.ours
        return loss(*(x.double() if x.is_floating_point() else x for x in inputs)).item()


def error(loss: Loss, exact: float, inputs: list[Tensor]) -> float:
    """The relative error of a loss's value."""
    with torch.no_grad():
        return abs(loss(*inputs).item() / exact - 1)


def peak(name: str, contender: str, n: int, d: int) -> str:
    """MiB that forward and backward need beyond inputs and gradients, in a process of their own."""
    return alone("--peak", name, contender, str(n), str(d))


def alone(*arguments: str) -> str:
    """What this script prints in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def report_peak(name: str, contender: str, n: int, d: int) -> None:
    """What the process of `peak` does: warm up small, then measure."""
    work = WORKS[name]
    loss = work.ours if contender.startswith("tellapart") else work.others[contender]
    inputs = work.inputs(n, d)
    if contender == UNIT_VECTORS:
        # As open_clip hands them over: a loss that normalises has its unit vectors besides.
        inputs = [torch.nn.functional.normalize(x.detach()).requires_grad_() for x in inputs]
        loss = partial(info_nce, temperature=formulas.TAU, symmetric=True, score="dot")
    step(loss, work.inputs(64, d))
    before = resident(reset=True)
    with options(memory_budget=0 if contender in (KEEPING_NONE, UNIT_VECTORS) else None):
        step(loss, inputs)
    gradients = sum(x.numel() * x.element_size() for x in inputs if x.requires_grad) / 2**20
    print(f"{resident() - before - gradients:.0f}")


def whole(n: int, d: int) -> None:
    """Do one step of a symmetric loss that keeps nothing, and print the seconds and the peak of the whole process."""
    inputs = [torch.nn.functional.normalize(x.detach()).requires_grad_() for x in leaves(n, d, 2)]
    loss = partial(info_nce, temperature=formulas.TAU, symmetric=True, score="dot")
    with options(memory_budget=0):
        seconds = step(loss, inputs)
    print(f"{seconds:.0f} {resident():.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="only the lines that have to hold")
    parser.add_argument("--peak", nargs=4, metavar=("WORK", "CONTENDER", "N", "D"), help="used by this script itself")
    parser.add_argument("--whole", nargs=2, type=int, metavar=("N", "D"), help="used by this script itself")
    arguments = parser.parse_args()
    if arguments.whole:
        whole(*arguments.whole)
        return
    if arguments.peak:
        name, contender, n, d = arguments.peak
        report_peak(name, contender, int(n), int(d))
        return
    import loss_tables

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if arguments.short:
        loss_tables.required()
    else:
        loss_tables.everything()


if __name__ == "__main__":
    main()
