"""The partition function `log Z` and what else a line-up tells, computed by an engine.

`line_up` states the problem as one product of vectors, `engine` has it evaluated to `Terms`. The `dense`
engine holds all scores (`classify` where that is plain cross-entropy); it is the reference. The `tiled`
engine adds up what the positives say (`sides`) and a `stream` of tiles over everyone else (`crowd`, `walk`).
"""

from tellapart.partition.engine import ENGINES, evaluate, evaluate_loss
from tellapart.partition.line_up import LineUp, state
from tellapart.partition.softplus import evaluate_binary
from tellapart.partition.terms import REDUCTIONS, Given, Terms

__all__ = ["ENGINES", "REDUCTIONS", "Given", "LineUp", "Terms", "evaluate", "evaluate_binary", "evaluate_loss", "state"]
