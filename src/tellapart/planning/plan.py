"""What a batch means before any training with it: arithmetic over sizes and what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tellapart._engine import memory
from tellapart.diagnostics import planned_margin
from tellapart.errors import require_option
from tellapart.planning.calibration import EncoderSpeed, LossSpeed
from tellapart.planning.planned_loss import PlannedLoss


@dataclass(frozen=True)
class Plan:
    """A step as it will be: bytes, seconds, information in nats, and scores as cosines."""

    system: str
    planned: PlannedLoss
    dim: int
    temperature: float
    mi_ceiling: float
    """`log(K + 1)`: no bound on mutual information that is read from this loss can exceed it."""
    margin: float
    """`m = β + τ ln K` at β = 0: a positive of this score has even odds against K negatives of score 0."""
    least_loss: float
    """`log(1 + K exp(−1/τ))`: the loss of a positive of score 1 among K negatives of score 0."""
    whole_bytes: int
    streamed_bytes: int
    is_streamed: bool
    measured: LossSpeed
    loss_seconds: float
    encoder: EncoderPlan | None


@dataclass(frozen=True)
class EncoderPlan:
    """The encoder's part of a step: all views at once or, with a gradient cache, `chunk` at a time."""

    seconds: float
    kept_bytes: float
    chunk: int
    """A chunk that fits into the memory, if all views at once do not; else 0."""
    chunked_seconds: float
    chunked_bytes: float


def plan(
    system: str,
    planned: PlannedLoss,
    dim: int,
    temperature: float,
    loss: LossSpeed,
    encoder: EncoderSpeed | None = None,
    memory_bytes: int = 0,
) -> Plan:
    """The plan of a step, from its sizes and what was measured.

    Time goes by the number of scores, `n·c / (n·c measured)`, at the width that was measured. Measured with half the
    batch it was within 10 % of the whole's (clip, simclr, moco; 0.1 to 1 billion scores of 128 to 512 numbers, one
    core); with a quarter of it, right to 26 % too long, for small matrices cost more a score.

    Args:
        system: the name of a system.
        planned: the loss of a step of it.
        dim: the length of the embeddings.
        temperature: τ > 0.
        loss: how long the loss took at some size.
        encoder: how long an encoder takes for a picture.
        memory_bytes: what the machine has; matters with an encoder only.

    Raises:
        InputError: embeddings of no length, or τ ≤ 0.

    >>> planned = PlannedLoss.of_pairs(32768, lambda *_: None, "all other texts")
    >>> made = plan("clip", planned, 512, 0.07, LossSpeed(8192, 8192**2, 0.8))
    >>> round(made.mi_ceiling, 2), round(made.margin, 3), round(made.loss_seconds, 1)
    (10.4, 0.728, 12.8)
    """
    check(dim, temperature)
    n, c, k = planned.n_queries, planned.n_candidates, planned.n_negatives
    mirrored, one_way = planned.way == "mirrored", planned.way == "one way"
    return Plan(
        system,
        planned,
        dim,
        temperature,
        mi_ceiling=math.log(k + 1),
        margin=planned_margin(k, temperature),
        least_loss=math.log1p(k * math.exp(-1 / temperature)),
        whole_bytes=memory.whole_bytes(n, c, symmetric=planned.way == "symmetric", mirrored=mirrored),
        streamed_bytes=memory.streamed_bytes(n, c, dim, one_way=one_way, mirrored=mirrored),
        is_streamed=memory.is_streamed(n, c),
        measured=loss,
        loss_seconds=loss.seconds * planned.n_scores / loss.n_scores,
        encoder=None if encoder is None else _plan_encoder(planned, encoder, memory_bytes),
    )


def check(dim: int, temperature: float) -> None:
    """Raise `InputError` unless embeddings have a usable length and τ is one that float32 can divide by."""
    require_option("dim", 1 <= dim <= 2**14, f"lie between 1 and {2**14}", dim)
    require_option("temperature", 1e-4 <= temperature <= 1e4, "lie between 0.0001 and 10000", temperature)


def _plan_encoder(planned: PlannedLoss, speed: EncoderSpeed, memory_bytes: int) -> EncoderPlan:
    n = planned.n_queries
    seconds = n * speed.forward_and_backward + planned.n_keyed * speed.forward
    kept, chunk = n * speed.kept_bytes, 0
    if 2 * kept > memory_bytes:
        chunk = min(n, max(2, 2 ** int(math.log2(max(2, memory_bytes / 8 / speed.kept_bytes)))))
    return EncoderPlan(seconds, kept, chunk, seconds + n * speed.forward, chunk * speed.kept_bytes)
