"""The partition function `log Z` and what else a line-up tells, computed by an engine.

`state` puts the problem in inner-product form, a `LineUp`; an engine turns it into `Terms`. `dense`
materialises the scores: the readable reference that every other engine has to agree with.
"""

from tellapart.partition.dense import evaluate
from tellapart.partition.line_up import LineUp, state
from tellapart.partition.terms import REDUCTIONS, Terms

__all__ = ["REDUCTIONS", "LineUp", "Terms", "evaluate", "state"]
