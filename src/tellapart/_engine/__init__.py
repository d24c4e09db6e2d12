"""The engine: `log Z` and the other terms of the loss, with exact gradients. It is private to the core.

`problem` states a loss as one product of vectors, `dispatch` decides how it is computed. Small ones are whole
matrices (`whole`, `cross_entropy`, `dense`). Large ones, and those of several processes, are
`streamed`: a `schedule` brings blocks of keys, a kernel computes each block, and `assemble` adds what the positives
contribute. On a GPU most losses of one process are `one_node`.
"""

from tellapart._engine.arguments import How, check_per_candidate, default_positives, named
from tellapart._engine.binary import evaluate_binary
from tellapart._engine.crossover import ENGINES
from tellapart._engine.dispatch import evaluate
from tellapart._engine.loss import loss, terms
from tellapart._engine.opaque import loss_as_one
from tellapart._engine.pairs import log_add, pair_products, segment_logsumexp
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import TEMPERATURE, LineUp
from tellapart._engine.terms import REDUCTIONS, Given, NoCandidateError, Terms

__all__ = [
    "ENGINES",
    "REDUCTIONS",
    "TEMPERATURE",
    "Given",
    "How",
    "LineUp",
    "NoCandidateError",
    "Terms",
    "check_per_candidate",
    "default_positives",
    "evaluate",
    "evaluate_binary",
    "full_precision",
    "log_add",
    "loss",
    "loss_as_one",
    "named",
    "pair_products",
    "segment_logsumexp",
    "terms",
]
