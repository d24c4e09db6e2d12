"""What a step takes here, measured on this machine in a few seconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.errors import memory_budget, options

if TYPE_CHECKING:
    from tellapart.domains.pictures import ImageShape
    from tellapart.planning.planned_loss import PlannedLoss, Planner

Clock = Callable[[], float]

SECONDS = 5.0
_SMALLEST, _MOST_ROUNDS, _MOST_PICTURES = 256, 5, 256
_MOST_QUEUED = 2**16  # keys of a queue that fit into any memory


@dataclass(frozen=True)
class LossSpeed:
    """The seconds that forward and backward of a loss took, of a batch that may be smaller than the planned one."""

    batch: int
    n_scores: int
    seconds: float


@dataclass(frozen=True)
class EncoderSpeed:
    """What an encoder needs of one picture: seconds with and without gradient, bytes kept for the backward pass."""

    forward_and_backward: float
    forward: float
    kept_bytes: float


def measure_loss(
    planner: Planner,
    batch: int,
    queue: int,
    dim: int,
    temperature: float,
    seconds: float = SECONDS,
    clock: Clock = time.perf_counter,
) -> LossSpeed:
    """Time a system's loss at the largest size, up to the planned one, that fits into so many seconds.

    The planned width is kept, so that time goes by the number of scores; so is the share of the scores that the
    memory budget lets stay for the backward pass.
    """
    until, planned = clock() + seconds, planner(batch, queue)
    # From a small size to the planned one, each of up to four times as many scores as the one before.
    halvings = range(max(0, (batch // _SMALLEST).bit_length() - 1), -1, -1)
    sizes = [planner(max(2, batch // 2**i), min(queue, _MOST_QUEUED)) for i in halvings]

    def once() -> float:
        return _seconds_of_loss(size, dim, temperature, planned, clock)

    size = sizes[0]
    once()  # the first is slower than all that follow
    taken = once()
    for larger in sizes[1:]:
        if clock() + taken * larger.n_scores / size.n_scores > until:
            break
        size = larger
        taken = once()
    return LossSpeed(size.batch, size.n_scores, _median(once, taken, until, clock))


def _median(once: Callable[[], float], taken: float, until: float, clock: Clock) -> float:
    """The median of some rounds, of which one was done, while there is time."""
    rounds = [taken]
    while len(rounds) < _MOST_ROUNDS and clock() + taken < until:
        rounds.append(once())
    return statistics.median(rounds)


def _seconds_of_loss(size: PlannedLoss, dim: int, temperature: float, planned: PlannedLoss, clock: Clock) -> float:
    terms = size.ready(dim, temperature)
    with options(memory_budget=memory_budget() * size.n_scores // planned.n_scores):
        began = clock()
        terms().loss().backward()
        return clock() - began


def measure_encoder(
    encoder: nn.Module,
    shape: ImageShape,
    most: int,
    seconds: float = SECONDS,
    clock: Clock = time.perf_counter,
) -> EncoderSpeed:
    """Time an encoder on as many pictures at once, up to `most`, as fit into so many seconds."""
    until, n = clock() + seconds, 2
    _encode(encoder, _pictures(n, shape), clock)  # the first is slower than all that follow
    taken, kept = _encode(encoder, _pictures(n, shape), clock)
    while n < min(most, _MOST_PICTURES) and clock() + 4 * taken < until:
        n = min(2 * n, most, _MOST_PICTURES)
        taken, kept = _encode(encoder, _pictures(n, shape), clock)
    pictures = _pictures(n, shape)
    both = _median(lambda: _encode(encoder, pictures, clock)[0], taken, until, clock)
    before = clock()
    with torch.no_grad():
        encoder(pictures)
    return EncoderSpeed(both / n, (clock() - before) / n, kept / n)


def _pictures(n: int, shape: ImageShape) -> Tensor:
    return torch.rand(n, shape.channels, shape.side, shape.side)


def _encode(encoder: nn.Module, pictures: Tensor, clock: Clock) -> tuple[float, int]:
    """Seconds of forward and backward, and the bytes that autograd kept between them, weights not counted."""
    weights = {p.untyped_storage().data_ptr() for p in encoder.parameters()}
    kept: dict[int, int] = {}

    def see(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    before = clock()
    with torch.autograd.graph.saved_tensors_hooks(see, lambda tensor: tensor):
        embeddings: Tensor = encoder(pictures)
    embeddings.sum().backward()
    return clock() - before, sum(kept.values())
