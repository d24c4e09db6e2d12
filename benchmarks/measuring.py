"""Time, share of the product's peak and error of contenders that take turns at one kind of work."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

import peers
from contenders import Turn, Worker, turn
from works import ALL, Loss, Work

OURS = "tellapart"
# A whole matrix, its exponentials and its gradient, a few times over, must fit.
MOST_SCORES = 600_000_000
FEW_SCORES = 70_000_000
# A turn of a short step is many steps: so many seconds.
TURN = 0.02
MOST_DIFFERENCE = 1e-4
Contender = Callable[[int], Turn]


@dataclass
class Result:
    """What was measured of one kind of work at one size."""

    work: str
    n: int
    d: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    share: float = float("nan")

    def ratios(self, other: str, ours: str = OURS) -> list[float]:
        """How many times as long the other took, in each round."""
        return [b / a for a, b in zip(self.seconds[ours], self.seconds[other], strict=True)]

    def ratio(self, other: str, ours: str = OURS) -> float:
        """The median over rounds."""
        return statistics.median(self.ratios(other, ours))


def measure(
    name: str,
    n: int,
    d: int,
    budget: float,
    *,
    only: tuple[str, ...] = (),
    workers: dict[str, Worker] | None = None,
    errors: bool = False,
) -> Result:
    """Let contenders that can hold the size take turns, for about `budget` seconds, 3 to 201 rounds.

    Each round starts with another, and every other round goes backwards: a contender that leaves the caches cold is
    not always followed by the same one.
    """
    work, result = ALL[name], Result(name, n, d)
    inputs = work.inputs(n, d)
    losses = {OURS: work.ours} | fitting(work, n, only)
    if errors:
        exact = exact_value(work, n, inputs)
        result.errors = {label: error(loss, exact, inputs) for label, loss in losses.items()}
    contenders: dict[str, Contender] = {label: partial(turn, loss, inputs) for label, loss in losses.items()}
    contenders |= {label: partial(worker.turn, name, n, d) for label, worker in (workers or {}).items()}
    steps = warm_up(contenders, work.scores(n))
    spent, rounds = 0.0, 0
    while rounds < 3 or (spent < budget and rounds < 201):
        taken = one_round(contenders, steps, rounds)
        for label, found in taken.items():
            result.seconds.setdefault(label, []).append(found.seconds)
        check_agreement(name, {label: found.loss for label, found in taken.items()})
        spent += steps * sum(found.seconds for found in taken.values())
        rounds += 1
    result.share = work.products * product_seconds(work.scores(n), d) / min(result.seconds[OURS])
    return result


def fitting(work: Work, n: int, only: tuple[str, ...]) -> dict[str, Loss]:
    """The others that can hold so many examples; of them only those asked for, if any are."""
    if work.scores(n) > MOST_SCORES:
        return {}
    return {x: loss for x, loss in work.others.items() if peers.can_hold(x, n) and (not only or x in only)}


def warm_up(contenders: dict[str, Contender], scores: int) -> int:
    """Let small work be done a few times before it counts, and say how many steps a turn of it takes."""
    if scores > 10**8:
        return 1
    taken = [one_round(contenders, 1) for _ in range(5 if scores <= 10**7 else 1)]
    return math.ceil(TURN / min(found.seconds for found in taken[-1].values()))


def one_round(contenders: dict[str, Contender], steps: int, number: int = 0) -> dict[str, Turn]:
    """A turn of each contender, in an order that goes by the number of the round."""
    order = list(contenders)[:: -1 if number % 2 else 1]
    first = number // 2 % len(order)
    return {label: contenders[label](steps) for label in order[first:] + order[:first]}


def check_agreement(name: str, losses: dict[str, float]) -> None:
    """Contenders that compute different losses are no contenders."""
    if not all(math.isclose(loss, losses[OURS], rel_tol=MOST_DIFFERENCE) for loss in losses.values()):
        raise SystemExit(f"loss.py: contenders of {name} disagree on the loss: {losses}")


def product_seconds(scores: int, d: int) -> float:
    """What one matrix product of so many scores takes here, at the best size for it."""
    side = 4096
    a, b, out = torch.randn(side, d), torch.randn(d, side), torch.empty(side, side)
    best = min(step_of_product(a, b, out) for _ in range(5))
    return best * scores / side**2


def step_of_product(a: Tensor, b: Tensor, out: Tensor) -> float:
    """Seconds of one product."""
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
