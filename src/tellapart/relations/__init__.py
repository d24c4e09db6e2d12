"""Who is related to whom: lazily evaluated matrices between queries and keys.

A `Relation` says which keys are a query's positives, or which leave the line-up. It derives from ids,
never from where a row happens to stand, and it is evaluated tile by tile or listed pair by pair, so that
no n×m matrix exists unless somebody hands one in. Relations compose: `same(a) & ~paired()`.
"""

from tellapart.relations.given import dense, edges
from tellapart.relations.kinds import everyone, listed, other_views, paired, same
from tellapart.relations.pairs import Pairs
from tellapart.relations.relation import Relation, check_relation
from tellapart.relations.times import gaussian, within

__all__ = [
    "Pairs",
    "Relation",
    "check_relation",
    "dense",
    "edges",
    "everyone",
    "gaussian",
    "listed",
    "other_views",
    "paired",
    "same",
    "within",
]
