"""Warnings read from a training's log.

| warning | condition, on average over the last tenth of the steps | why |
|---|---|---|
| collapse | `effective_rank` < 2 or 5 % of `rank_limit`; with a limit of 2, < 1.5 | embeddings on one line look alike |
| saturation | `mi_ceiling − mi_bound` < 0.1 nat | so few negatives can teach no more |
| temperature | a learned τ is at a bound in more than half of the steps | it is no longer learned |
| domination | `hardest_share` > 0.5, with 4 negatives or more | one negative decides, and the others hardly count |
| false negatives | `suspects` > 10 %, with 4 negatives or more | positives may be pushed apart |
| divergence | `kl` > 25 nats | a language model's answers are hardly its reference's any more |
| length | `length_ratio` < 0.75 or > 1.5 | its answers became short, or long, instead of better |
| memory | `accuracy` of training − that on held-out rows > 30 % | what was learned does not carry over |
| fallen | `chosen_change` < −10 nats | the chosen answers fall, too: others rise, which no preference names |
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Log = list[dict[str, float]]

COLLAPSED_DIMENSIONS, COLLAPSED_SHARE, COLLAPSED_OF_FEW = 2.0, 0.05, 0.75
SATURATED_NATS = 0.1
AT_BOUND_SHARE = 0.5
DOMINATING_SHARE = 0.5
SUSPECT_SHARE = 0.1
DIVERGED_NATS = 25.0
SHORTER, LONGER = 0.75, 1.5
FALLEN_NATS = 10.0
LEARNED_BY_HEART = 0.3
MEASURES = 10  # of a training, that its best weights may be among
FEWEST_NEGATIVES = 4  # with two negatives, one always has half of the push
_TAIL = 0.1
_MEASURES = "measures"  # how many there are on held-out rows


class TrainingWarning(NamedTuple):
    """A finding and its remedy, in a sentence or two each."""

    name: str
    found: str
    remedy: str


def training_warnings(log: Log) -> list[TrainingWarning]:
    """The warnings of a log as `training.panel` writes it, one entry a step; a missing quantity gives no warning.

    >>> for warning in training_warnings([{"step": 1, "mi_bound": 2.0, "mi_ceiling": 2.0794}]):
    ...     print(warning.name)
    saturation
    """
    ends = {name: _end(log, name) for name in {name for entry in log for name in entry}}
    ends[_MEASURES] = float(sum("held_out_loss" in entry for entry in log))
    checks = (
        _collapse,
        _saturation,
        _temperature,
        _domination,
        _false_negatives,
        _memory,
        _divergence,
        _length,
        _fallen,
    )
    return [found for check in checks if (found := check(ends)) is not None]


def _end(log: Log, name: str) -> float:
    """The mean over the last tenth of the steps or, if none of these has a value, the last value."""
    values = [entry[name] for entry in log[-max(1, round(_TAIL * len(log))) :] if name in entry]
    return float(np.mean(values)) if values else next(entry[name] for entry in reversed(log) if name in entry)


def _collapse(ends: dict[str, float]) -> TrainingWarning | None:
    rank, limit = (ends.get(name, np.nan) for name in ("effective_rank", "rank_limit"))
    if not rank < max(min(COLLAPSED_DIMENSIONS, COLLAPSED_OF_FEW * limit), COLLAPSED_SHARE * limit):
        return None
    found = f"The embeddings have collapsed: they use {rank:.1f} of {limit:.0f} dimensions."
    return TrainingWarning("collapse", found, "Lower the learning rate or the weight decay, or the temperature.")


def _saturation(ends: dict[str, float]) -> TrainingWarning | None:
    bound, ceiling = (ends.get(name, np.nan) for name in ("mi_bound", "mi_ceiling"))
    if not ceiling - bound < SATURATED_NATS:
        return None
    found = f"The bound on mutual information, {bound:.2f} nats, has reached its ceiling of {ceiling:.2f}."
    return TrainingWarning("saturation", found, "More negatives would help: a larger batch, or a queue.")


def _temperature(ends: dict[str, float]) -> TrainingWarning | None:
    if not ends.get("temperature_at_bound", 0.0) > AT_BOUND_SHARE:
        return None
    found = f"The learned temperature is at its bound, {ends.get('temperature', np.nan):.3g}."
    remedy = "The training pairs are too easy to tell apart: use more data, stronger views or more negatives."
    return TrainingWarning("temperature", found, remedy)


def _domination(ends: dict[str, float]) -> TrainingWarning | None:
    share = ends.get("hardest_share", 0.0)
    if _few_negatives(ends) or not share > DOMINATING_SHARE:
        return None
    found = f"A single negative has {share:.0%} of the negatives' push, on average: the others hardly count."
    return TrainingWarning("domination", found, "Raise the temperature, or check whether these negatives are false.")


def _few_negatives(ends: dict[str, float]) -> bool:
    return ends.get("n_candidates", np.inf) - 1 < FEWEST_NEGATIVES


def _false_negatives(ends: dict[str, float]) -> TrainingWarning | None:
    share = ends.get("suspects", 0.0)
    if _few_negatives(ends) or not share > SUSPECT_SHARE:
        return None
    found = f"{share:.0%} of the queries have a negative that looks like a positive: perhaps a false negative."
    remedy = "Give items that belong together one id (diagnostics.false_negatives lists them), or use negatives.alike."
    return TrainingWarning("false negatives", found, remedy)


def _memory(ends: dict[str, float]) -> TrainingWarning | None:
    seen, unseen = ends.get("accuracy", np.nan), ends.get("held_out_accuracy", np.nan)
    if not seen - unseen > LEARNED_BY_HEART:
        return None
    n = ends.get("held_out_n_candidates", np.nan)
    among = f" among {n:.0f} candidates" if n == n else ""
    found = f"Training finds the positive of {seen:.0%} of its queries, but of {unseen:.0%} of held-out ones{among}."
    every = max(1, round(ends.get("step", 1.0) / MEASURES))
    remedy = "The training data are partly learned by heart: more data or stronger views help; "
    # With more measures than the last one, the best weights are kept already.
    keep = f"--trainer.validate_every {every} keeps the best weights."
    if ends[_MEASURES] > 1:
        keep = "--trainer.patience 5 stops in time."
    return TrainingWarning("memory", found, remedy + keep)


def _divergence(ends: dict[str, float]) -> TrainingWarning | None:
    kl = ends.get("kl", 0.0)
    if not kl > DIVERGED_NATS:
        return None
    found = f"The model has moved {kl:.0f} nats an answer from its reference (KL): read what it writes."
    return TrainingWarning("divergence", found, "Lower the learning rate, train for fewer epochs, or raise beta.")


def _length(ends: dict[str, float]) -> TrainingWarning | None:
    ratio = ends.get("length_ratio", 1.0)
    if SHORTER <= ratio <= LONGER:
        return None
    found = f"The answers have {ratio:.0%} of the length of the reference's."
    remedy = "Lower the learning rate, add likelihood, or balance the lengths of chosen and rejected answers."
    return TrainingWarning("length", found, remedy)


def _fallen(ends: dict[str, float]) -> TrainingWarning | None:
    change = ends.get("chosen_change", 0.0)
    if not change < -FALLEN_NATS:
        return None
    found = f"The log-probability of the chosen answers fell, too, by {-change:.1f} nats."
    return TrainingWarning("fallen", found, "Add likelihood, lower the learning rate, or raise beta.")
