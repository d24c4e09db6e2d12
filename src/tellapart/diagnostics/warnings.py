"""What a training's log warns of, in plain words.

| warning | if, on average over the last tenth of the steps | why |
|---|---|---|
| collapse | `effective_rank` < 2 or 5 % of `rank_limit`; of a limit of 2, < 1.5 | who share a line are not told apart |
| saturation | `mi_ceiling − mi_bound` < 0.1 nat | nothing is left that this line-up could teach |
| temperature | a learned τ is at a bound at more than half of the steps | it is no longer learned |
| domination | `hardest_share` > 0.5, of 4 negatives or more | one negative decides, and the others hardly count |
| false negatives | `suspects` > 10 %, of 4 negatives or more | counterparts may be pushed apart |
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
FEWEST_NEGATIVES = 4  # of two, one has half of the push whatever happens
_TAIL = 0.1


class TrainingWarning(NamedTuple):
    """What was found, and what to do about it; a sentence or two each."""

    name: str
    found: str
    remedy: str


def training_warnings(log: Log) -> list[TrainingWarning]:
    """The warnings of a log as `training.panel` writes it, one entry a step; none of what the log does not say.

    >>> for warning in training_warnings([{"step": 1, "mi_bound": 2.0, "mi_ceiling": 2.0794}]):
    ...     print(warning.name)
    saturation
    """
    ends = {name: _end(log, name) for name in {name for entry in log for name in entry}}
    checks = (_collapse, _saturation, _temperature, _domination, _false_negatives)
    return [found for check in checks if (found := check(ends)) is not None]


def _end(log: Log, name: str) -> float:
    """The mean of the last tenth of the steps or, where none of these has it, the last that there is."""
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
    return TrainingWarning("saturation", found, "A larger line-up would help: a larger batch, or a queue.")


def _temperature(ends: dict[str, float]) -> TrainingWarning | None:
    if not ends.get("temperature_at_bound", 0.0) > AT_BOUND_SHARE:
        return None
    found = f"The learned temperature rests on its bound, {ends.get('temperature', np.nan):.3g}."
    remedy = "The training pairs are told apart too easily for it: use more data, stronger views or a larger line-up."
    return TrainingWarning("temperature", found, remedy)


def _domination(ends: dict[str, float]) -> TrainingWarning | None:
    share = ends.get("hardest_share", 0.0)
    if _few_negatives(ends) or not share > DOMINATING_SHARE:
        return None
    found = f"A single negative has {share:.0%} of the negatives' push, on average: the others hardly count."
    return TrainingWarning("domination", found, "Raise the temperature, or see whether such negatives are false ones.")


def _few_negatives(ends: dict[str, float]) -> bool:
    return ends.get("n_candidates", np.inf) - 1 < FEWEST_NEGATIVES


def _false_negatives(ends: dict[str, float]) -> TrainingWarning | None:
    share = ends.get("suspects", 0.0)
    if _few_negatives(ends) or not share > SUSPECT_SHARE:
        return None
    found = f"{share:.0%} of the queries have a negative that looks like a counterpart: a false negative, perhaps."
    remedy = "Give those that belong together one id (diagnostics.false_negatives lists them), or use negatives.alike."
    return TrainingWarning("false negatives", found, remedy)
