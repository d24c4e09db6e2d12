"""A plan in words, for the terminal."""

from __future__ import annotations

import math

from tellapart.evaluation import Table
from tellapart.planning.plan import EncoderPlan, Plan

_MOST_SCORE = 1.0


def as_table(plan: Plan) -> Table:
    """What the plan says, each number with what it means."""
    planned, k = plan.planned, plan.planned.n_negatives
    n, c = planned.n_queries, planned.n_candidates
    few = "" if plan.is_streamed else ": faster for so few"
    rows = [
        ["negatives of each query, K", f"{k:,}", planned.negatives],
        ["ceiling of the MI bound", f"{plan.mi_ceiling:.2f} nats", "log(K + 1), however much information there is"],
        ["effective margin", f"{plan.margin:.3f}", "τ ln K: a positive of this score has even odds (loss ln 2)"],
        ["loss of a perfect positive", f"{plan.least_loss:.2g} nats", "score 1 among K negatives of score 0"],
        ["memory of the loss, dense", in_bytes(plan.whole_bytes), f"whole matrices of {n:,} × {c:,} scores{few}"],
        ["memory of the loss, streamed", in_bytes(plan.streamed_bytes), "tiles of them, and what may stay of these"],
        ["time of the loss, both passes", in_seconds(plan.loss_seconds), _source(plan)],
    ]
    if plan.encoder is not None:
        rows += _encoder_rows(plan, plan.encoder)
    queue = f", a queue of {planned.queue:,}" if planned.queue else ""
    title = f"A step of {plan.system}: a batch of {planned.batch:,}{queue}, {plan.dim} dimensions, τ = "
    return Table(
        title + f"{plan.temperature:g}",
        ["quantity", "value", "meaning"],
        [list(row) for row in rows],
        [""] * 3,
        _notes(plan),
    )


def _source(plan: Plan) -> str:
    if plan.measured.n_scores == plan.planned.n_scores:
        return "measured here"
    return f"a batch of {plan.measured.batch:,} took {in_seconds(plan.measured.seconds)} here; the rest by n·m"


def _encoder_rows(plan: Plan, encoder: EncoderPlan) -> list[list[str]]:
    n, keyed = plan.planned.n_queries, plan.planned.n_keyed
    pictures = f"{n:,} {plan.planned.encoded}"
    pictures += f", and {keyed:,} without gradient" if keyed else ""
    share = plan.loss_seconds / (plan.loss_seconds + encoder.seconds)
    return [
        [
            "time of the encoder, both passes",
            in_seconds(encoder.seconds),
            f"{pictures}; not of texts, nor of the optimizer",
        ],
        ["share of the loss", f"{share:.1%}" if share >= 0.001 else "under 0.1%", "of the time of both"],
        ["memory of the encoder", in_bytes(encoder.kept_bytes), "what its backward pass needs of all of them at once"],
    ]


def _notes(plan: Plan) -> list[str]:
    tau, k = plan.temperature, plan.planned.n_negatives
    notes = ["Negatives are taken to score β = 0, as random directions do on average; others move the margin by β."]
    if plan.margin > 0:
        notes.append(
            f"What would double the margin, to {2 * plan.margin:.3f}: K² = {_large(k * k)} negatives, "
            f"or τ = {2 * tau:g}. Twice as many negatives add τ ln 2 = {tau * math.log(2):.3f}."
        )
    if plan.margin > _MOST_SCORE:
        notes.append(
            "No cosine reaches this margin: while negatives score 0, no loss falls below that of a perfect positive. "
            "A lower τ would help."
        )
    if plan.encoder is not None:
        notes.append(_on_chunks(plan.encoder))
    return notes


def _on_chunks(encoder: EncoderPlan) -> str:
    if not encoder.chunk:
        return "The encoder fits into this machine's memory with all of the batch at once: no gradient cache is needed."
    return (
        "The encoder would fill more than half of this machine's memory with all of the batch at once. A gradient "
        f"cache (`chunk`) of {encoder.chunk} at a time needs {in_bytes(encoder.chunked_bytes)}, and with one more "
        f"forward pass {in_seconds(encoder.chunked_seconds)}."
    )


def _large(number: int) -> str:
    return f"{number:,}" if number < 10**6 else f"{number:.1e}".replace("e+0", "e").replace("e+", "e")


def in_bytes(number: float) -> str:
    """Bytes in the unit that suits them.

    >>> in_bytes(3.2e9), in_bytes(2048)
    ('3.0 GiB', '2.0 KiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.3g} {unit}" if number >= 100 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"


def in_seconds(number: float) -> str:
    """Seconds in the unit that suits them.

    >>> in_seconds(0.0123), in_seconds(12.3), in_seconds(7200)
    ('12 ms', '12 s', '2.0 h')
    """
    if number < 1:
        return f"{1000 * number:.2g} ms" if number < 0.1 else f"{number:.2f} s"
    return (
        f"{number:.2g} s" if number < 100 else f"{number / 60:.0f} min" if number < 6000 else f"{number / 3600:.1f} h"
    )
