"""The engine: `log Z` and what else a line-up tells, with exact gradients. It is private to the core.

`problem` states a line-up as one product of vectors, `dispatch` decides which way it goes. Small ones are whole
matrices (`cross_entropy`, `dense`). Large ones, and those of several processes, are `streamed`: a `schedule` brings
blocks of keys, a kernel computes each block, and `assemble` adds what the positives contribute.
"""

from tellapart._engine.binary import evaluate_binary
from tellapart._engine.dispatch import ENGINES, evaluate
from tellapart._engine.pairs import log_add, segment_logsumexp
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import TEMPERATURE, LineUp, check_per_candidate, default_positives
from tellapart._engine.terms import REDUCTIONS, Given, Terms

__all__ = [
    "ENGINES",
    "REDUCTIONS",
    "TEMPERATURE",
    "Given",
    "LineUp",
    "Terms",
    "check_per_candidate",
    "default_positives",
    "evaluate",
    "evaluate_binary",
    "full_precision",
    "log_add",
    "segment_logsumexp",
]
