"""The partition function `log Z` and what else a line-up tells, computed by an engine.

`line_up` states the problem as one product of vectors, `engine` has it evaluated to `Terms`. The `dense`
engine holds all scores (`classify` where that is plain cross-entropy); it is the reference. The `tiled`
engine adds up what the positives say (`sides`) and a `stream` of tiles over everyone else (`crowd`, `walk`).
"""

from tellapart._engine.engine import ENGINES, evaluate, evaluate_loss
from tellapart._engine.line_up import TEMPERATURE, LineUp, check_per_candidate, counterparts, state
from tellapart._engine.precision import full_precision
from tellapart._engine.segments import log_add, segment_logsumexp
from tellapart._engine.softplus import evaluate_binary
from tellapart._engine.terms import REDUCTIONS, Given, Terms

__all__ = [
    "ENGINES",
    "REDUCTIONS",
    "TEMPERATURE",
    "Given",
    "LineUp",
    "Terms",
    "check_per_candidate",
    "counterparts",
    "evaluate",
    "evaluate_binary",
    "evaluate_loss",
    "full_precision",
    "log_add",
    "segment_logsumexp",
    "state",
]
