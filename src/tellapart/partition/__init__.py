"""The partition function `log Z` and what else a line-up tells, computed by an engine.

`line_up` states the problem as one product of vectors; `evaluate` turns it into `Terms`: what the
positives say (`sides`) and `log Z` over everyone else (`crowd`), which an engine computes. `dense`
materialises the scores: the readable reference. `tiled` streams them (`walk`).
"""

from tellapart.partition.evaluate import ENGINES, evaluate
from tellapart.partition.line_up import LineUp, state
from tellapart.partition.terms import REDUCTIONS, Terms

__all__ = ["ENGINES", "REDUCTIONS", "LineUp", "Terms", "evaluate", "state"]
