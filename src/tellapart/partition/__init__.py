"""The partition function `log Z` and what else a line-up tells, computed by an engine.

`state` puts the problem in inner-product form, a `LineUp`; an engine turns it into one `Side` per direction.
`dense` materialises the scores: the readable reference that every other engine has to agree with.
"""

from tellapart.partition.dense import sides
from tellapart.partition.line_up import LineUp, Side, state

__all__ = ["LineUp", "Side", "sides", "state"]
