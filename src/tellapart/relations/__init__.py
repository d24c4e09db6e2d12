"""Relations: lazily evaluated matrices between queries and keys.

A `Relation` says which keys are a query's positives, or which are excluded. It derives from ids,
never from the position of a row, and it is evaluated tile by tile or listed pair by pair, so that
no n×m matrix exists unless one is handed in. Relations compose: `same(a) & ~paired()`.
"""

from typing import TYPE_CHECKING

from tellapart.relations.beside import beside
from tellapart.relations.composed import but_not
from tellapart.relations.given import dense, edges
from tellapart.relations.kinds import check_size, everyone, listed, other_views, paired, same
from tellapart.relations.lowered import Lowered, NotLowered, reasons
from tellapart.relations.pairs import Pairs, counted, stretches
from tellapart.relations.ranks import Ranks
from tellapart.relations.relation import Relation, check_relation, is_boolean
from tellapart.relations.times import before, gaussian, within

if TYPE_CHECKING:
    from tellapart.relations.ids import Ids as Ids

__all__ = [
    "Lowered",
    "NotLowered",
    "Pairs",
    "Ranks",
    "Relation",
    "before",
    "beside",
    "but_not",
    "check_relation",
    "check_size",
    "counted",
    "dense",
    "edges",
    "everyone",
    "gaussian",
    "is_boolean",
    "listed",
    "other_views",
    "paired",
    "reasons",
    "same",
    "stretches",
    "within",
]
